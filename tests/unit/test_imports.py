"""Which of our own files a script imports, by its source alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from remint.adapters.imports import files_of_module, local_imports
from remint.errors import DataError


def write(place: Path, **files: str) -> Path:
    for name, text in files.items():
        path = place / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return place


def found(place: Path, script: str) -> set[str]:
    return {p.relative_to(place.resolve()).as_posix() for p in local_imports(place / script, search=[place])}


def test_imports_are_followed_through_own_files_and_not_into_packages(tmp_path: Path) -> None:
    write(tmp_path, stages__train="import numpy\nimport own\n", own="from lib.deep import x\n", lib__deep="x = 1\n")
    assert found(tmp_path, "stages/train.py") == {"own.py", "lib/deep.py"}


def test_packages_submodules_and_relative_imports(tmp_path: Path) -> None:
    write(tmp_path, run="from pkg import one, name\n", pkg__one="from . import two\nfrom .sub.three import y\n")
    write(tmp_path, pkg__two="", pkg__sub__three="from .. import two\n", pkg__four="")
    (tmp_path / "pkg" / "__init__.py").write_text("name = 1\n")
    assert found(tmp_path, "run.py") == {"pkg/__init__.py", "pkg/one.py", "pkg/two.py", "pkg/sub/three.py"}


def test_imports_within_functions_and_in_circles_count_once(tmp_path: Path) -> None:
    write(tmp_path, a="def f():\n    import b\n", b="import a\nimport b\n")
    assert found(tmp_path, "a.py") == {"b.py"}


def test_a_script_sees_its_own_directory_first(tmp_path: Path) -> None:
    write(tmp_path, stages__train="import own\n", stages__own="", own="")
    assert found(tmp_path, "stages/train.py") == {"stages/own.py"}


def test_a_module_by_name_brings_what_it_imports(tmp_path: Path) -> None:
    write(tmp_path, models__net="import layers\n", layers="")
    files = {p.name for p in files_of_module("models.net", search=[tmp_path])}
    assert files == {"net.py", "layers.py"}
    assert files_of_module("sklearn.linear_model", search=[tmp_path]) == set()


def test_what_is_not_python_is_said(tmp_path: Path) -> None:
    write(tmp_path, a="import b\n", b="def (\n")
    with pytest.raises(DataError, match=r"b\.py: not Python"):
        local_imports(tmp_path / "a.py", search=[tmp_path])
