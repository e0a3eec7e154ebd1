"""Slow drift: too little for any one window, but it adds up. An e-detector over counts since dyadic restarts.

For one field and one start, with C the counts since then, R the reference's n rows, r their smoothed shares::

    E = mean over a of DirichletMultinomial(C; a r)  /  max over p in K of prod p^C
    K = {p: 2 n KL(R/n || p) <= ncx2.isf(eta / d, bins - 1, n d0)}

K leaves out a distribution whose 2 KL(reference || it), the PSI where shifts are small, is at most ``d0``, with a
chance of ``eta`` over the d fields (the likelihood ratio is then about non-central chi-square). While the field stays
within K, E is an e-process: it may be looked at on every schedule. Fields are averaged and starts are added up; the sum
over all starts so far is an e-detector, so the chance that the sum over some of them reaches A within T starts is at
most T / A (Shin, Ramdas and Rinaldo, *E-detectors*, 2024; Wasserman, Ramdas and Balakrishnan, *Universal inference*,
2020, for the maximum below the line).

Real days differ without anything being wrong. Where the reference knows windows of its own, every count is divided by
how much wider than chance they scatter, and starts younger than one such window are left out: they cannot be judged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri, gammaln, ndtri, xlogy
from scipy.stats import ncx2

from remint.core.budget import YEAR
from remint.core.profile import Counts, FieldRole, Reference
from remint.core.reference_windows import FieldWindows
from remint.errors import DataError, NoDataError, Silence

Numbers = npt.NDArray[np.float64]

_CONCENTRATIONS: Final = (20.0, 200.0, 2000.0)  # of the alternatives: shifts of about 0.7, 0.2 and 0.07 sigma a bin
_SMOOTHING: Final = 0.5
_HALVINGS: Final = 4  # before Newton's method, which is slow where a share is next to nothing
_MOST_STEPS: Final = 60
_NO_STEP: Final = 1e-13
_LEAST_T: Final = 1e-12
_NEWEST: Final = 2  # starts of each level: with one, just after a restart there is little between young and old
_REFERENCE_SHARE: Final = 0.2  # of the budget, for a reference that was drawn unluckily
_POWER: Final = 0.8
_SHIFTS: Final = np.geomspace(0.01, 3.0, 96)  # sigma
_COARSE: Final = 8  # every so many of them is tried first


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldEvidence:
    """One field's strongest start."""

    field: str
    start: datetime
    rows: int
    log_e: float
    psi: float  # of all rows since ``start`` against the reference, nats


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """What has added up since the restarts. ``fields`` has the strongest evidence first."""

    log_e: float
    log_limit: float
    fields: tuple[FieldEvidence, ...]
    rows: int  # of the longest window
    p_bound: float  # the chance of as much within as many checks where nothing moved, at most
    smallest_detectable_psi: float  # after the rows of the longest window, with 80 % power; infinite: none
    knows_variation: bool  # False: harmless day-to-day variation would count as drift

    @property
    def detected(self) -> bool:
        return self.log_e >= self.log_limit


def restarts(promoted_at: datetime, now: datetime, every: timedelta) -> tuple[datetime, ...]:
    """Where windows that end now begin: O(log T) of them, the oldest (the promotion) first; none before there is time.

    Level k restarts at each multiple of 2^k steps of ``every`` since the promotion; the newest two of each are kept.
    """
    if every <= timedelta():
        raise ValueError("a schedule without a period")
    steps = math.ceil((now - promoted_at) / every)  # the start of this very moment has no rows yet
    if steps < 1:
        return ()
    found = {0}
    for level in range(steps.bit_length()):
        newest = (steps - 1) >> level
        found.update(max(0, newest - k) << level for k in range(_NEWEST))
    return tuple(promoted_at + k * every for k in sorted(found))


def detect(
    reference: Reference,
    counts_by_restart: Sequence[tuple[datetime, Counts]],
    *,
    role: FieldRole,
    material_psi: float,
    yearly: float,
    checks_a_year: float,
    promoted_at: datetime,
    now: datetime,
) -> Detection:
    """What the counts since each of ``restarts`` say together; any of them may be left out.

    ``yearly`` false alarms are granted over ``checks_a_year`` restarts. A fifth of them is kept for an unlucky
    reference; it is earned with the champion's age, so that its sum over a year does not depend on how many there were.
    NoDataError where there is no window, or a field has no rows.
    """
    profiles = [field for field in reference.fields if field.role is role]
    spreads = {field.name: _spread_of(reference, field.name) for field in profiles}
    lasting = judged_from(reference, role)
    used = [(start, counts) for start, counts in counts_by_restart if start < now and now - start >= lasting]
    if not profiles or not used:
        raise NoDataError("no window that is long enough", silence=Silence.TOO_FEW)
    eta = min(0.2, _REFERENCE_SHARE * yearly * ((now - promoted_at) / YEAR))
    log_limit = math.log(checks_a_year / ((1 - _REFERENCE_SHARE) * yearly))
    ages = np.array([(now - start) / timedelta(seconds=1) for start, _ in used])
    by_field: list[Numbers] = []
    evidence: list[FieldEvidence] = []
    smallest: list[float] = []
    for profile in profiles:
        r = np.asarray(profile.counts, dtype=np.float64)
        c = np.stack([_counted(profile.name, r.size, counts) for _, counts in used])
        spread = spreads[profile.name]
        radius = null_radius(r, eta=eta / len(profiles), material_psi=material_psi, spread=spread.at_reference)
        deflated = c / spread.of(c.sum(axis=1), ages)[:, None]
        log_e = log_e_values(r, deflated, radius)
        by_field.append(log_e)
        best = int(np.argmax(log_e))
        evidence.append(
            FieldEvidence(
                field=profile.name,
                start=used[best][0],
                rows=int(c[best].sum()),
                log_e=float(log_e[best]),
                psi=_psi(r, c[best]),
            )
        )
        longest = int(np.argmax(deflated.sum(axis=1)))
        smallest.append(
            _smallest_psi(r, float(deflated[longest].sum()), radius, log_limit=log_limit + math.log(len(profiles)))
        )
    total = float(np.logaddexp.reduce(np.concatenate(by_field)) - math.log(len(profiles)))
    steps = checks_a_year * ((now - promoted_at) / YEAR) + 1
    return Detection(
        log_e=total,
        log_limit=log_limit,
        fields=tuple(sorted(evidence, key=lambda found: (-found.log_e, found.field))),
        rows=max(int(counts[profiles[0].name].sum()) for _, counts in used),
        p_bound=min(1.0, eta + math.exp(min(0.0, math.log(steps) - total))),
        smallest_detectable_psi=max(smallest),
        knows_variation=all(spread.known for spread in spreads.values()),
    )


# -- one field -------------------------------------------------------------------------------------------------------


def log_e_values(reference: npt.ArrayLike, current: npt.ArrayLike, radius: float | Numbers) -> Numbers:
    """log E of each of many counts. ``reference``: (bins,); ``current``: (..., bins), fractions too; result (...).

    ``radius`` bounds n KL(R/n || p) for the null K; a number, or one for each count. No rows are no evidence: 0.
    """
    r, c = np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)
    smoothed = (r + _SMOOTHING) / (r.sum() + _SMOOTHING * r.size)
    m = c.sum(axis=-1)
    alternatives = [
        gammaln(a) - gammaln(a + m) + (gammaln(a * smoothed + c) - gammaln(a * smoothed)).sum(axis=-1)
        for a in _CONCENTRATIONS
    ]
    mixture = np.logaddexp.reduce(alternatives) - math.log(len(_CONCENTRATIONS))
    return np.asarray(mixture - _largest_log_likelihood(r, c, radius), dtype=np.float64)


def null_radius(reference: npt.ArrayLike, *, eta: npt.ArrayLike, material_psi: float, spread: float = 1.0) -> Numbers:
    """The n KL(R/n || p) up to which p may be harmless; missed with a chance of at most ``eta``.

    Williams' correction (1976) for small bins is added to its chi-square distribution.
    ``spread`` is how much wider than chance the reference's own windows scatter. Elementwise over ``eta``; infinite
    with one bin, and where eta is 0.
    """
    r = np.asarray(reference, dtype=np.float64)
    n, bins = float(r.sum()), r.size
    missed = np.asarray(eta, dtype=np.float64)
    if bins < 2:
        return np.full_like(missed, math.inf)
    smoothed = (r + _SMOOTHING) / (n + _SMOOTHING * bins)
    williams = 1 + (float((1 / smoothed).sum()) - 1) / (6 * max(1.0, n) * (bins - 1))
    critical = central = np.asarray(chdtri(bins - 1, missed))
    if material_psi > 0:
        critical = np.asarray(ncx2.isf(missed, bins - 1, n * material_psi / spread))
        critical = np.where(missed > 0, critical, math.inf)
    return np.asarray((critical + (williams - 1) * central) * spread / 2)


def _largest_log_likelihood(r: Numbers, c: Numbers, radius: float | Numbers) -> Numbers:
    """max over K of sum c log p. The maximiser lies on the line from c's shares to r's: p ~ C + lambda R."""
    n, m = float(r.sum()), c.sum(axis=-1, keepdims=True)
    ours = np.divide(c, m, out=np.zeros_like(c), where=m > 0)
    theirs = r / n if n else np.full_like(r, 1 / r.size)
    held = r > 0
    own = float(xlogy(r, theirs).sum())
    inside = np.zeros(c.shape[:-1])  # t = 0 is c itself, t = 1 the reference, which is always in K
    outside_t, inside_t = inside.copy(), np.ones_like(inside)

    ours_held, step_held = ours[..., held], theirs[held] - ours[..., held]

    def distance(t: Numbers) -> tuple[Numbers, Numbers]:
        """n KL(R/n || p) and how fast it falls; convex in t."""
        p = ours_held + t[..., None] * step_held
        with np.errstate(divide="ignore", invalid="ignore"):
            return own - np.log(p) @ r[held], (step_held / p) @ r[held]

    free = distance(outside_t)[0] <= radius
    for _ in range(_HALVINGS):
        t = (outside_t + inside_t) / 2
        far = distance(t)[0] > radius
        outside_t, inside_t = np.where(far, t, outside_t), np.where(far, inside_t, t)
    t = np.maximum(outside_t, _LEAST_T)
    sought = ~free & (distance(t)[0] > radius)
    for _ in range(_MOST_STEPS):  # from outside, as it is convex: a hair outside K, never an e-value too large
        away, falls = distance(t)
        step = np.divide(away - radius, falls, out=np.zeros_like(t), where=sought & (away > radius))
        t = t + step
        if not (step > _NO_STEP).any():
            break
    t = np.where(sought, t, 0.0)[..., None]
    return np.asarray(xlogy(c, (1 - t) * ours + t * theirs).sum(axis=-1))


def _psi(r: Numbers, c: Numbers) -> float:
    p, q = ((x + _SMOOTHING) / (x.sum() + _SMOOTHING * x.size) for x in (c, r))
    return float(np.sum((p - q) * np.log(p / q)))


def _smallest_psi(r: Numbers, rows: float, radius: Numbers, *, log_limit: float) -> float:
    """The PSI of a shift of the mean whose expected counts reach the limit, and what makes it 80 % sure on top."""
    if rows <= 0 or r.size < 2 or not np.isfinite(radius):
        return math.inf
    tilted, psi = _shifted(tuple(r.tolist()))

    def first(tried: Numbers) -> int | None:
        """Of those tried; the further a shift, the more evidence."""
        found = log_e_values(r, tried * rows, radius) >= log_limit
        return int(np.argmax(found)) if found.any() else None

    coarse = first(tilted[_COARSE - 1 :: _COARSE])
    if coarse is None:
        return math.inf
    from_here = coarse * _COARSE
    fine = first(tilted[from_here : from_here + _COARSE])
    assert fine is not None
    return float((math.sqrt(psi[from_here + fine]) + ndtri(_POWER) / math.sqrt(rows)) ** 2)


@lru_cache(maxsize=1024)
def _shifted(reference: tuple[float, ...]) -> tuple[Numbers, Numbers]:
    """The shares after each of ``_SHIFTS``, and their PSI."""
    r = np.array(reference)
    smoothed = (r + _SMOOTHING) / (r.sum() + _SMOOTHING * r.size)
    scores = ndtri(np.cumsum(smoothed) - smoothed / 2)  # of a normal variable cut into these bins
    tilted = smoothed * np.exp(_SHIFTS[:, None] * scores)
    tilted /= tilted.sum(axis=1, keepdims=True)
    return tilted, ((tilted - smoothed) * np.log(tilted / smoothed)).sum(axis=1)


def _counted(name: str, bins: int, counts: Counts) -> Numbers:
    found = np.asarray(counts.get(name, ()), dtype=np.float64)
    if found.size == 0 or not found.sum() > 0:
        raise NoDataError("no rows in the window", where=name)
    if found.size != bins or not np.isfinite(found).all() or (found < 0).any():
        raise DataError(f"{found.size} bins counted, {bins} in the reference, none of them negative", where=name)
    return found


# -- harmless variation ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How much wider than chance a field's reference windows scatter in their worst direction."""

    at_reference: float = 1.0  # variance by multinomial variance, for windows of ``rows``
    rows: float = 1.0  # of one reference window
    seconds: float = 1.0  # of one reference window
    known: bool = False

    def of(self, rows: Numbers, seconds: Numbers) -> Numbers:
        """The same for counts that came at another pace: own variation grows with the rows of a window, chance not."""
        pace = rows * self.seconds / np.maximum(seconds, 1e-9)
        return np.asarray(1 + (self.at_reference - 1) * pace / self.rows)


def spread_of_windows(windows: npt.ArrayLike) -> float:
    """The variance of window counts by their multinomial variance, in the direction where it is largest; at least 1.

    ``windows``: (windows, bins). The largest eigenvalue of a sample covariance is too large by chance (Marchenko and
    Pastur); the spike behind it is what Baik, Ben Arous and Peche's limit gives. Two standard errors are added, as few
    windows tell little. One that cannot be told from chance counts as none: ``material_psi`` has to cover it.
    """
    x = np.asarray(windows, dtype=np.float64)
    x = x[x.sum(axis=1) > 0][:, x.sum(axis=0) > 0]
    k, bins = x.shape
    if k < 2 or bins < 2:
        return 1.0
    expected = x.sum(axis=1, keepdims=True) * (x.sum(axis=0) / x.sum())
    largest = float(np.linalg.svd((x - expected) / np.sqrt(expected), compute_uv=False)[0]) ** 2 / (k - 1)
    ratio = (bins - 1) / (k - 1)
    if largest <= (1 + math.sqrt(ratio)) ** 2:
        return 1.0
    centred = largest + 1 - ratio
    spike = (centred + math.sqrt(max(0.0, centred**2 - 4 * largest))) / 2
    return float(1 + (spike - 1) * (1 + 2 * math.sqrt(2 / (k - 1))))


def judged_from(reference: Reference, role: FieldRole) -> timedelta:
    """The age at which a start can be judged: one of the reference's windows, zero where it knows none."""
    windows = reference.windows.fields if reference.windows is not None else {}
    lengths = [windows[f.name].length_seconds for f in reference.fields if f.role is role and f.name in windows]
    return timedelta(seconds=max(lengths, default=0))


def _spread_of(reference: Reference, field: str) -> Spread:
    windows = reference.windows.fields.get(field) if reference.windows is not None else None
    return Spread() if windows is None else _spread(windows)


@lru_cache(maxsize=1024)
def _spread(windows: FieldWindows) -> Spread:
    return Spread(
        at_reference=spread_of_windows(windows.counts),
        rows=max(1.0, float(windows.counts.sum(axis=1).mean())),
        seconds=float(windows.length_seconds),
        known=True,
    )
