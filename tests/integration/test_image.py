"""The Dockerfile, as far as it can be held to its word without a container engine."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

from binaries import ROOT
from remint.adapters.packages import library_versions

DOCKERFILE = (ROOT / "Dockerfile").read_text()


def instructions() -> list[tuple[str, str]]:
    """(name, arguments) in order, continued lines joined, comments dropped."""
    lines = [line for line in DOCKERFILE.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined.splitlines()) if name]


def last(name: str) -> str:
    return [rest for found, rest in instructions() if found == name][-1]


def test_the_projects_own_image_is_built_as_that_of_a_pipeline_made_by_init() -> None:
    templates = ROOT / "src" / "remint" / "templates"
    assert (templates / "Dockerfile").read_text() == DOCKERFILE
    assert (templates / "dockerignore").read_text() == (ROOT / ".dockerignore").read_text()


def test_only_what_is_copied_enters_the_build() -> None:
    ignore = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert ignore[0] == "*"
    allowed = {line.removeprefix("!") for line in ignore[1:]}
    sources: set[str] = set()
    for name, rest in instructions():
        if name == "COPY" and "--from" not in rest:
            sources.update(source.rstrip("/*") for source in shlex.split(rest)[:-1])
    assert sources == allowed


def test_the_service_is_started_with_options_that_it_has_and_not_as_root() -> None:
    from remint.cli.common import CommandParser
    from remint.cli.serve import configure

    assert json.loads(last("ENTRYPOINT")) == ["remint"]
    command, *arguments = json.loads(last("CMD"))
    assert command == "serve"
    parser = CommandParser()
    configure(parser)
    assert parser.parse_args(arguments).params == Path("/etc/remint/params.yaml")
    assert last("USER") == "10001:10001"


def test_the_chart_starts_the_image_as_the_image_starts_itself() -> None:
    template = (ROOT / "helm/remint/templates/deployment.yaml").read_text()
    arguments = re.findall(r"^ {12}- (serve|--\S+)$", template, re.MULTILINE)
    assert arguments == json.loads(last("CMD"))


def test_libraries_are_pinned_to_those_of_the_training(tmp_path: Path) -> None:
    (tmp_path / "metadata.json").write_text(json.dumps({"packages": library_versions()}))
    (step,) = [rest for name, rest in instructions() if name == "RUN" and rest.endswith("> constraints.txt")]
    step = step.replace("python ", f"{sys.executable} ", 1)
    subprocess.run(["sh", "-c", step], cwd=tmp_path, check=True)
    pins = (tmp_path / "constraints.txt").read_text().split()
    assert pins == [f"{name}=={version}" for name, version in library_versions().items() if name != "python"]
    assert any(pin.startswith("scikit-learn==") for pin in pins)
