"""Which files of one's own a Python script imports, read from its source; nothing is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

from remint.errors import DataError


def local_imports(script: Path, *, search: Sequence[Path]) -> set[Path]:
    """The modules below ``search`` that ``script`` imports, directly or not; installed packages are not followed.

    Imports within functions count, those made by name at run time (``importlib``) cannot be seen. ``search`` comes
    after the script's own directory, as on ``sys.path``. Raises DataError for a file that is not Python.
    """
    places = [script.resolve().parent, *(place.resolve() for place in search)]
    found: set[Path] = set()
    todo = [script.resolve()]
    while todo:
        file = todo.pop()
        for module in _modules(file, places):
            for path in _files_of(module, places):
                if path not in found and path != script.resolve():
                    found.add(path)
                    todo.append(path)
    return found


def files_of_module(module: str, *, search: Sequence[Path]) -> set[Path]:
    """The file of a module by name, the packages around it, and all that they import; empty for an installed one."""
    places = [place.resolve() for place in search]
    direct = set(_files_of(module, places))
    return direct.union(*(local_imports(path, search=places) for path in direct))


def _modules(file: Path, places: Sequence[Path]) -> Iterator[str]:
    """Dotted names; ``from a import b`` gives ``a`` and ``a.b``, as ``b`` may be a module."""
    try:
        tree = ast.parse(file.read_bytes(), filename=str(file))
    except (SyntaxError, ValueError) as error:
        raise DataError(f"not Python: {error}", where=str(file)) from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(file, node, places)
            if base is not None:
                yield base
                yield from (f"{base}.{alias.name}".lstrip(".") for alias in node.names)


def _base(file: Path, node: ast.ImportFrom, places: Sequence[Path]) -> str | None:
    """The absolute name that a (relative) import starts from; None where it leaves what we search."""
    if node.level == 0:
        return node.module
    folder = file.parent
    for _ in range(node.level - 1):
        folder = folder.parent
    for place in places:
        if folder.is_relative_to(place):
            package = ".".join(folder.relative_to(place).parts)
            return ".".join(part for part in (package, node.module or "") if part)
    return None


def _files_of(module: str, places: Sequence[Path]) -> Iterator[Path]:
    parts = module.split(".")
    for place in places:
        found = []
        for depth in range(1, len(parts) + 1):
            stem = place.joinpath(*parts[:depth])
            found += [path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()]
        if found:
            yield from found
            return
