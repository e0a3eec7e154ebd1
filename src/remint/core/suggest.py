"""What the columns of an unknown file probably are. A suggestion with its reason: people read it and correct it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from remint.core.schema import Kind

LEAKS: Final = 0.999  # balanced accuracy of one column alone: it is the label by another name
SUSPICIOUS: Final = 0.97

_TIME = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ]\d{1,2}:\d{2}.*)?")
_TIME_NAME = re.compile(r"(?i:(?:^|[_\W])(?:time|date|timestamp|epoch|at|ts)$|^(?:date|time))|(?:Time|Date|At)$")
_ID_NAME = re.compile(
    r"(?i:(?:^|[_\W])(?:id|key|uuid|guid|index|nr|no|number|name)$)|[a-z](?:Id|ID|Key)$|^Unnamed: \d+$"
)
_FEW_NUMBERS: Final = 50  # a column with more different numbers is taken for continuous
_EPOCH: Final = ((9e8, 2.3e9), (9e11, 2.3e12))  # seconds and milliseconds between 1998 and 2042


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A column's kind and why; ``warning`` is for what a person should look at."""

    name: str
    kind: Kind
    reason: str
    warning: str | None = None
    looks_like_time: bool = False


def suggest(name: str, texts: npt.NDArray[Any], numbers: npt.NDArray[np.float64] | None) -> Suggestion:
    """The kind of one column: ``texts`` as strings (None is missing), ``numbers`` where every value is one."""
    given = [t for t in texts.tolist() if t is not None]
    distinct = len(set(given))
    if not given or (numbers is not None and bool(np.isnan(numbers).all())):
        return _ignored(name, "empty", warning="has no values")
    if name.startswith("@"):
        return _ignored(name, "a name that Remint uses", warning="names that start in '@' are Remint's own: rename it")
    if distinct == 1 and len(given) == len(texts):
        return _ignored(name, "always the same value", warning=f"always holds {given[0]!r:.40}: nothing to learn from")
    if numbers is not None:
        return _suggest_number(name, numbers[~np.isnan(numbers)], distinct)
    return _suggest_text(name, given, distinct)


def _suggest_number(name: str, given: npt.NDArray[np.float64], distinct: int) -> Suggestion:
    whole = bool(np.all(np.isfinite(given)) and np.all(given == np.floor(given)))
    low, high = float(given.min()), float(given.max())
    if whole and _TIME_NAME.search(name) and any(a <= low and high <= b for a, b in _EPOCH):
        return _ignored(name, "Unix times", looks_like_time=True)
    if whole and given.size >= 50 and distinct >= 0.95 * given.size:
        if _ID_NAME.search(name) or high - low < 3 * given.size:
            return _ignored(name, "an identifier", warning="looks like an identifier: each row has its own number")
        doubt = "nearly every row has its own whole number: if it is an identifier, make it 'ignored'"
        return Suggestion(name=name, kind=Kind.NUMERIC, reason=f"{distinct} values", warning=doubt)
    return Suggestion(name=name, kind=Kind.NUMERIC, reason=f"{distinct} values, {low:.4g} to {high:.4g}")


def _suggest_text(name: str, given: list[str], distinct: int) -> Suggestion:
    rows = len(given)
    if sum(_TIME.fullmatch(t.strip()) is not None for t in given) >= 0.95 * rows:
        return _ignored(name, "times", looks_like_time=True)
    odd = [t for t in given if not _is_number(t)]
    if len(odd) <= 0.2 * rows and distinct > 50:
        return _ignored(
            name,
            "numbers beside other values",
            warning=f"holds {len(odd)} values that are not numbers, such as {odd[0]!r:.40}: mend them",
        )
    if _is_prose(name, given) and distinct > min(50, rows / 2) and distinct >= 0.3 * rows:
        return Suggestion(name=name, kind=Kind.TEXT, reason=f"free text, {distinct} different")
    if rows >= 50 and distinct >= 0.95 * rows:
        return _ignored(name, "an identifier", warning="looks like an identifier: nearly every row has its own value")
    if distinct > 50 and distinct > 0.5 * rows:
        return _ignored(
            name, "too many values", warning=f"{distinct} different values in {rows} rows: too rare to learn from"
        )
    return Suggestion(name=name, kind=Kind.CATEGORICAL, reason=f"{distinct} values")


def _is_prose(name: str, given: list[str]) -> bool:
    words = sum(len(t.split()) for t in given) / len(given)
    if words >= 4:
        return not (_ID_NAME.search(name) and words < 6)  # people's names
    foreign = sum(not t.isascii() for t in given) / len(given)  # languages that put no spaces between words
    return foreign > 0.5 and sum(map(len, given)) / len(given) >= 12


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _ignored(name: str, reason: str, *, warning: str | None = None, looks_like_time: bool = False) -> Suggestion:
    return Suggestion(name=name, kind=Kind.IGNORED, reason=reason, warning=warning, looks_like_time=looks_like_time)


def lone_accuracy(values: npt.NDArray[Any], labels: npt.NDArray[Any]) -> float:
    """Balanced accuracy of the label guessed from one column alone; near 1 means that the column leaks the label.

    Learned on one half of the rows and scored on the other: the most frequent label of each value or, for a column of
    many numbers, the label of the nearest one. Pass distinct rows: with copies in both halves anything looks like a
    leak. NaN where there are fewer than 30 rows or one label.
    """
    rows = len(labels)
    if rows < 30 or len(set(labels.tolist())) < 2:
        return float("nan")
    learning = (np.arange(rows) * 2654435761) % 2**32 < 2**31  # Knuth's multiplier: no pattern of the file's order
    if values.dtype != object and len(np.unique(values)) > _FEW_NUMBERS:
        guessed = _nearest_label(values[learning], labels[learning], values[~learning])
    else:
        guessed = _most_frequent_label(values[learning].tolist(), labels[learning].tolist(), values[~learning].tolist())
    truth = labels[~learning]
    recalls = [np.mean([g == label for g in guessed[truth == label]]) for label in sorted(set(truth.tolist()))]
    return float(np.mean(recalls))


def _nearest_label(
    known: npt.NDArray[np.float64], labels: npt.NDArray[Any], asked: npt.NDArray[np.float64]
) -> npt.NDArray[Any]:
    order = np.argsort(known, kind="stable")  # NaN comes last, so missing values are near to each other
    known, labels = known[order], labels[order]
    right = np.clip(np.searchsorted(known, asked), 0, len(known) - 1)
    left = np.clip(right - 1, 0, len(known) - 1)
    with np.errstate(invalid="ignore"):
        nearest = np.where(np.abs(known[left] - asked) < np.abs(known[right] - asked), left, right)
    return labels[nearest]


def _most_frequent_label(known: list[Any], labels: list[Any], asked: list[Any]) -> npt.NDArray[Any]:
    counts: dict[Any, dict[str, int]] = {}
    for value, label in zip(map(_hashable, known), labels, strict=True):
        of_value = counts.setdefault(value, {})
        of_value[label] = of_value.get(label, 0) + 1
    guess = {value: max(sorted(found), key=found.__getitem__) for value, found in counts.items()}
    out = np.empty(len(asked), dtype=object)
    out[:] = [guess.get(_hashable(value)) for value in asked]
    return out


def _hashable(value: Any) -> Any:
    return None if value != value else value  # NaN equals nothing, itself neither
