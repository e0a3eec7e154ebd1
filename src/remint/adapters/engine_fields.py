"""What a column holds, as the fields of a reference see it: a number, or a category among known values.

Every engine gives the same value the form that training gave it: text is stripped, ``3``, ``3.0`` and ``"3"`` are one
category, NaN and null are both missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import narwhals as nw

from remint.adapters.datafile import INTEGER_AS_FLOAT, MISSING_CATEGORY, MISSING_NUMBER
from remint.adapters.engine_files import TextFile
from remint.core.profile import FIRST, MISSING, FieldProfile
from remint.core.schema import canonical_label
from remint.errors import DataError

_SPACE: Final = "".join(chr(c) for c in range(0x3001) if chr(c).isspace())  # all that str.strip() strips
_INT64: Final = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True, kw_only=True)
class Numeric:
    field: FieldProfile
    column: str
    value: nw.Expr  # float64; null or NaN is missing
    text: nw.Expr | None  # what it is read from, null where that is missing

    @property
    def thresholds(self) -> list[float]:
        """A value's bin is the number of thresholds that it reaches, plus one: the last bin keeps its upper edge."""
        assert self.field.edges is not None
        return [*self.field.edges[:-1], math.nextafter(self.field.edges[-1], math.inf)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Categorical:
    field: FieldProfile
    column: str
    value: nw.Expr  # null is missing
    keys: Mapping[Any, int]  # value -> bin; any other value is unseen
    raw: nw.Expr | None  # the text before it was stripped: cheaper, and mostly all that there is


Field = Numeric | Categorical


def field_on(field: FieldProfile, column: nw.Expr, name: str, dtype: Any, text_file: TextFile | None) -> Field:
    """The field on a column of a type, None for a column without any value. DataError where it cannot be that field."""
    if dtype is None:
        column, dtype = column.cast(nw.Float64()), nw.Float64()
    if isinstance(dtype, nw.Categorical | nw.Enum):
        column, dtype = column.cast(nw.String()), nw.String()
    if field.edges is not None:
        if isinstance(dtype, nw.String):
            text = _number_text(column, text_file)
            return Numeric(field=field, column=name, value=text.cast(nw.Float64()), text=text)
        if dtype.is_numeric() or isinstance(dtype, nw.Boolean):
            value = column if isinstance(dtype, nw.Float64) else column.cast(nw.Float64())
            return Numeric(field=field, column=name, value=value, text=None)
        raise DataError(
            f"column {name!r} holds {dtype}, and training knew it as a number",
            hint="write it as the number that training saw",
        )
    assert field.values is not None
    bins = {value: i for i, value in enumerate(field.values, FIRST)}
    if isinstance(dtype, nw.String):
        text, missing = _category_text(column, field.values, text_file)
        return Categorical(
            field=field, column=name, value=text, keys=bins | dict.fromkeys(missing, MISSING), raw=column
        )
    if isinstance(dtype, nw.Date | nw.Decimal):
        return Categorical(field=field, column=name, value=column.cast(nw.String()), keys=bins, raw=None)
    if isinstance(dtype, nw.Boolean):
        keys: dict[Any, int] = {flag: bins[text] for flag, text in ((True, "true"), (False, "false")) if text in bins}
        return Categorical(field=field, column=name, value=column, keys=keys, raw=None)
    if dtype.is_float():
        column = column.cast(nw.Float64())
        column = nw.when(~column.is_nan()).then(column)
        return Categorical(field=field, column=name, value=column, keys=_numbers(bins, float), raw=None)
    if dtype.is_integer():
        keys = {k: i for k, i in _numbers(bins, int).items() if k in _INT64}
        return Categorical(field=field, column=name, value=column.cast(nw.Int64()), keys=keys, raw=None)
    raise DataError(f"column {name!r} holds {dtype}, and training knew it as a category", hint="write it as text")


def _numbers(bins: Mapping[str, int], number: type[int] | type[float]) -> dict[Any, int]:
    """The categories that a number's canonical text can be, as numbers."""
    found: dict[Any, int] = {}
    for text, index in bins.items():
        try:
            value = number(text)
        except ValueError:
            continue
        if canonical_label(value) == text:
            found[value] = index
    return found


def _number_text(column: nw.Expr, text_file: TextFile | None) -> nw.Expr:
    """Text that should be a number, stripped; null where a value is missing."""
    text = column.str.strip_chars(_SPACE)
    if text_file is None:
        return nw.when(text != "").then(text)
    text = text.str.to_lowercase()
    if text_file.decimal_comma:
        text = text.str.replace_all(",", ".", literal=True)
    number = nw.when(text == "true").then(nw.lit("1")).otherwise(text)
    number = nw.when(text == "false").then(nw.lit("0")).otherwise(number)
    return nw.when(~text.is_in(sorted(MISSING_NUMBER))).then(number)


def _category_text(
    column: nw.Expr, values: Sequence[str], text_file: TextFile | None
) -> tuple[nw.Expr, frozenset[str]]:
    """Text that is a category, stripped, and the spellings that mean missing.

    A text file says ``3.0`` for 3 where the tool that wrote it made floats of integers, and ``True`` for true: where
    all of the reference's values are integers, or booleans, that is what is meant.
    """
    text = column.str.strip_chars(_SPACE)
    if text_file is None:
        return text, frozenset({""})
    if values and all(INTEGER_AS_FLOAT.fullmatch(v) and not v.endswith(".0") for v in values):
        text = text.str.replace_all(r"\.0$", "")
    elif values and set(values) <= {"true", "false"}:
        text = text.str.to_lowercase()
    return text, MISSING_CATEGORY
