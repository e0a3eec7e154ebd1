"""A function that ``params.yaml`` names, imported; and the source that it is made of."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from remint.errors import ConfigError, did_you_mean


@contextmanager
def importable(directory: Path) -> Iterator[None]:
    """Modules beside ``params.yaml`` can be imported inside, as they can in a stage."""
    entry = str(directory.resolve())
    sys.path.insert(0, entry)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(entry)


def import_function(name: str, *, where: str) -> Callable[..., Any]:
    """The function that ``module:function`` names. Raises ConfigError where it cannot be imported or called."""
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # importing runs the team's code, which may raise anything
        raise ConfigError(
            f"{module_name} cannot be imported: {type(error).__name__}: {error}",
            where=where,
            hint="a module beside params.yaml, or an installed one",
        ) from error
    function = getattr(module, attribute, None)
    if function is None:
        raise ConfigError(f"{module_name} has no {attribute!r}", where=where, hint=did_you_mean(attribute, dir(module)))
    if not callable(function):
        raise ConfigError(f"{name} is not a function", where=where)
    return function  # type: ignore[no-any-return]


def source_of(function: Callable[..., Any]) -> bytes:
    """The source of the function's module; empty where there is none (a compiled one)."""
    path = inspect.getsourcefile(function)
    return b"" if path is None else Path(path).read_bytes()
