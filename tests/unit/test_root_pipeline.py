"""The repository's own pipeline is what `remint init --example breast-cancer` makes: one source, no drifting copies."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

from remint import __version__
from remint.adapters.datafile import read_raw
from remint.adapters.examples import Example, example_csv
from remint.adapters.scaffold import Treatment
from remint.core.golden import format_golden
from remint.workflows.init import GOLDEN, render_params, template_files
from remint.workflows.inspection import Inspection, inspect
from remint.workflows.prepare import check_pin

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Inspection:
    path = tmp_path_factory.mktemp("example") / "breast-cancer.csv"
    path.write_bytes(example_csv(Example.BREAST_CANCER))
    return inspect(read_raw(path), label=Example.BREAST_CANCER.label, pipeline="breast-cancer")


@pytest.mark.parametrize("path", [f.path for f in template_files()])
def test_the_root_holds_the_templates(path: str) -> None:
    file = next(f for f in template_files() if f.path == path)
    found = (ROOT / path).read_bytes()
    if file.treatment is Treatment.LINES:
        assert set(file.content.splitlines()) <= set(found.splitlines())
    else:
        assert found == file.content


def test_the_golden_set_is_the_drawn_one(example: Inspection) -> None:
    assert (ROOT / GOLDEN).read_bytes() == format_golden(example.golden)


def test_the_parameters_are_the_suggested_ones(example: Inspection) -> None:
    golden = format_golden(example.golden)
    expected = render_params("breast-cancer", "data/breast-cancer.csv", example, golden)
    assert (ROOT / "params.yaml").read_text(encoding="utf-8") == expected


def test_the_stages_run_the_installed_remint() -> None:
    check_pin(ROOT / "requirements.txt", installed=__version__)


def test_every_stage_depends_on_its_own_code_and_on_the_version_of_remint() -> None:
    """DVC cannot see imports: a stage imports Remint alone, and Remint's version stands in requirements.txt."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for name, stage in stages.items():
        assert stage["cmd"] == f"python stages/{name}.py"
        assert {f"stages/{name}.py", "requirements.txt"} <= set(stage["deps"])
        tree = ast.parse((ROOT / "stages" / f"{name}.py").read_text(encoding="utf-8"))
        imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert {module.split(".")[0] for module in imported} == {"remint"}
        assert not any(isinstance(node, ast.Import) for node in ast.walk(tree))
