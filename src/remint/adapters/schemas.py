"""Documents of strangers against the published schemas: what Remint did not write itself is believed in no respect."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final, NoReturn

from jsonschema import Draft202012Validator

from remint.core.document import DocumentKind, unseal
from remint.core.markdown import clean
from remint.errors import DocumentError

MOST_BYTES: Final = 1_000_000  # of one document: the largest of ours has some ten thousand
_SHOWN: Final = 200  # characters of what a schema says


def read_untrusted(path: Path, kind: DocumentKind, *, pipeline: str) -> dict[str, Any]:
    """A sealed document of ``pipeline`` from a file that somebody else wrote, checked against its schema.

    Raises DocumentError for whatever is wrong with it: a link, a file beyond ``MOST_BYTES``, no JSON, numbers that are
    none, a nesting without end, another id than its content's, keys that the schema does not know.
    """
    where = path.name
    if path.is_symlink() or not path.is_file():
        raise DocumentError("not a regular file", where=where)
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise DocumentError(f"longer than {MOST_BYTES} bytes", where=where)
    try:
        document = unseal(json.loads(content, parse_constant=_refuse), kind, pipeline=pipeline, where=where)
        error = next(_validator(kind).iter_errors(document), None)
    except (ValueError, TypeError, RecursionError):  # infinity by 1e999, half a surrogate, a hundred thousand brackets
        raise DocumentError("not JSON as Remint writes it", where=where) from None
    if error is not None:
        place = ".".join(str(part) for part in error.absolute_path)
        raise DocumentError(clean(f"{place or 'document'}: {error.message}", longest=_SHOWN), where=where)
    return document


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


@cache
def _validator(kind: DocumentKind) -> Draft202012Validator:
    """By the package's schema; in a checkout of Remint the one in the directory beside ``src``."""
    place: Traversable = files("remint") / "schemas"
    if not place.is_dir():
        place = Path(__file__).parents[3] / "schemas"
    return Draft202012Validator(json.loads((place / f"{kind.value}.schema.json").read_text(encoding="utf-8")))
