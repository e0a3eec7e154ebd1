"""Whether a model is as often right as it says: the expected calibration error of its most probable class.

ECE = sum over bins b of n_b / n * | share right in b - mean confidence in b | (Naeini et al., "Obtaining Well
Calibrated Probabilities Using Bayesian Binning", AAAI 2015), with bins of equal mass instead of equal width (Nixon et
al., "Measuring Calibration in Deep Learning", CVPR workshops 2019). With n_b taken in, a bin's term is |sum of (right -
confidence)| / n, which is how it is computed here. A plug-in estimate of few rows is too high, for both models alike:
the difference is what is judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from remint.core.gate_words import difference
from remint.core.paired import (
    Floats,
    Noise,
    Scored,
    Statistic,
    by_key,
    differences,
    distinct,
    interval,
)
from remint.core.verdict import Absence, Finding, Verdict

BINS: Final = 10
_ROWS_A_BIN: Final = 10  # distinct rows, at least: with fewer there are fewer bins

_NAME: Final = "calibration"


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationPair:
    """The expected calibration error (0 to 1) of both models; None: not measured. ``noise`` is of the difference."""

    champion: float | None
    challenger: float | None
    noise: Noise | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "champion": self.champion,
            "challenger": self.challenger,
            "interval": None if self.noise is None else {"low": self.noise.low, "high": self.noise.high},
        }


def calibration_error(scored: Scored, keys: npt.NDArray[np.str_]) -> float | None:
    """The expected calibration error of some rows; None without rows or where a probability is not finite."""
    if not _is_known(scored):
        return None
    group, count = distinct(keys)
    return float(_statistic(scored, group, count)(np.ones((1, count)))[0])


def compare_calibration(
    champion: Scored | None, challenger: Scored, keys: npt.NDArray[np.str_], *, seed: int
) -> CalibrationPair:
    """Both errors on the same rows, and the paired bootstrap's interval of challenger minus champion."""
    after = calibration_error(challenger, keys)
    before = None if champion is None else calibration_error(champion, keys)
    if champion is None or before is None or after is None:
        return CalibrationPair(champion=before, challenger=after)
    group, count = distinct(keys)
    pair = (_statistic(champion, group, count), _statistic(challenger, group, count))
    found = differences({_NAME: pair}, keys=count, rows=len(keys), seed=seed)[_NAME]
    return CalibrationPair(champion=before, challenger=after, noise=interval(found))


def judge_calibration(
    pair: CalibrationPair, *, tolerance: float, keys: int, min_rows: int, has_champion: bool, rows_name: str
) -> Finding:
    """Whether the challenger's error is at most ``tolerance`` above the champion's."""
    where = f"calibration error on {rows_name} rows"
    verdict: Verdict | Absence
    limit = None if pair.champion is None else pair.champion + tolerance
    if keys < min_rows:
        verdict, said = Verdict.INCONCLUSIVE, f"{keys} distinct rows, the gate needs {min_rows} (gate.min_rows)"
    elif pair.challenger is None:
        verdict, said = Absence.MISSING, "not a number for the challenger"
    elif not has_champion:
        verdict, said = Absence.NO_CHAMPION, f"{pair.challenger:.3f}, no champion to compare with"
    elif pair.champion is None or limit is None:
        verdict, said = Absence.MISSING, "not a number for the champion"
    else:
        said = difference(pair.champion, pair.challenger, pair.noise)
        within = round(pair.challenger - pair.champion, 12) <= round(tolerance, 12)
        verdict = Verdict.PASS if within else Verdict.FAIL
        said += "" if within else f"; worse by more than the tolerance of {tolerance:g}"
    return Finding(
        rule=_NAME,
        verdict=verdict,
        reason=f"{where}: {said}",
        observed=pair.challenger,
        limit=limit,
        evidence={"on": rows_name, "distinct_rows": keys, "tolerance": tolerance, "bins": BINS, **pair.to_json()},
    )


def _is_known(scored: Scored) -> bool:
    return len(scored.labels) > 0 and bool(np.isfinite(scored.probabilities).all())


def _statistic(scored: Scored, group: npt.NDArray[np.int64], count: int) -> Statistic:
    confidence = scored.probabilities.max(axis=1)
    index = _equal_mass(confidence, min(BINS, max(1, count // _ROWS_A_BIN)))
    gap = (scored.predicted == scored.labels) - confidence
    columns = np.where(index[:, None] == np.arange(index.max() + 1), gap[:, None], 0.0)
    summed = by_key(np.column_stack([columns, np.ones(len(gap))]), group, count)

    def statistic(weights: Floats) -> Floats:
        drawn = weights @ summed
        return np.asarray(np.abs(drawn[:, :-1]).sum(axis=1) / drawn[:, -1])

    return statistic


def _equal_mass(confidence: Floats, bins: int) -> npt.NDArray[np.int64]:
    """Each row's bin, of ``bins`` with as many rows each; equal confidences stay together, so there may be fewer."""
    edges = np.unique(np.quantile(confidence, np.arange(1, bins) / bins))
    return np.asarray(np.searchsorted(edges, confidence, side="left"), dtype=np.int64)
