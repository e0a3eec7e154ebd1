"""The running release: which bundles serve, and which client sees which of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Final

from remint.core.document import is_slug
from remint.core.ledger import is_run_id
from remint.errors import ConfigError, did_you_mean

SCHEMA: Final = "remint/state/1.1"  # 1.1: runs

_BUNDLE = re.compile(r"sha256:[0-9a-f]{64}")
_RELEASE = re.compile(r"r[1-9][0-9]{0,8}")
_RESOLUTION: Final = 10_000  # cohorts; the smallest share of a canary is 0.0001


def is_bundle_id(text: str) -> bool:
    """``sha256:`` and 64 hex digits."""
    return _BUNDLE.fullmatch(text) is not None


class Track(StrEnum):
    STABLE = "stable"
    CANARY = "canary"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseState:
    """``deploy/state.yaml``. A release id belongs to one canary: it draws everybody's cohort afresh."""

    pipeline: str
    release: str  # r1, r2, ...
    stable: str  # bundle id
    canary: str | None  # bundle id
    steps: tuple[float, ...]  # shares of the canary, rising to 1
    step: int  # -1: no canary traffic; k: the canary's share is steps[k]
    runs: Mapping[str, str] = field(default_factory=dict, hash=False)  # bundle id -> the run that made it

    def __post_init__(self) -> None:
        if not is_slug(self.pipeline):
            raise ConfigError(f"{self.pipeline!r} is not a pipeline's slug", where="pipeline")
        if _RELEASE.fullmatch(self.release) is None:
            raise ConfigError(f"{self.release!r} is not a release id such as r1", where="release")
        for name, bundle in (("stable", self.stable), ("canary", self.canary)):
            if bundle is not None and not is_bundle_id(bundle):
                raise ConfigError(f"{bundle!r:.90} is not a bundle id: sha256: and 64 hex digits", where=name)
        shares = list(self.steps)
        if not shares or shares != sorted(set(shares)) or not 0 < shares[0] <= shares[-1] <= 1:
            raise ConfigError("must be shares that rise from above 0 to at most 1", where="steps")
        if not -1 <= self.step < len(self.steps):
            raise ConfigError(f"{self.step} is not -1 or an index of steps (0 to {len(shares) - 1})", where="step")
        if self.canary is None and self.step != -1:
            raise ConfigError(f"is {self.step}, but there is no canary", where="step", hint="-1 without a canary")
        for bundle, run in self.runs.items():
            if not is_bundle_id(bundle) or not is_run_id(run):
                raise ConfigError(f"{bundle!r:.90}: {run!r:.90} is not a bundle id and its run", where="runs")

    @property
    def tracks(self) -> Mapping[Track, str]:
        """The bundles to be loaded, by track."""
        return {Track.STABLE: self.stable} | ({} if self.canary is None else {Track.CANARY: self.canary})

    @property
    def draws(self) -> bool:
        """Whether a coin is flipped for each unit: only then do first requests compare the tracks."""
        return self.canary is not None and self.step >= 0

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "pipeline": self.pipeline,
            "release": self.release,
            "stable": self.stable,
            "canary": self.canary,
            "steps": list(self.steps),
            "step": self.step,
            **({"runs": dict(self.runs)} if self.runs else {}),
        }

    @classmethod
    def from_json(cls, data: object) -> ReleaseState:
        """Raises ConfigError for anything that is not a state of this major version; ``where`` is the key."""
        if not isinstance(data, dict):
            raise ConfigError("is empty or not a mapping")
        schema = str(data.get("schema"))
        if re.fullmatch(r"remint/state/1\.\d+", schema) is None:
            raise ConfigError(f"is {data.get('schema')!r}, expected {SCHEMA}", where="schema")
        known = ["schema", *(f.name for f in fields(cls))]
        for key in data:
            if key not in known:
                raise ConfigError("unknown key", where=str(key), hint=did_you_mean(str(key), known))
        for key in known:
            if key not in data and key != "runs":
                raise ConfigError("is missing", where=key)
        steps, step, runs = data["steps"], data["step"], data.get("runs", {})
        if not isinstance(runs, dict):
            raise ConfigError("is not a mapping of bundle ids to runs", where="runs")
        if not isinstance(steps, list) or not all(isinstance(s, int | float) for s in steps):
            raise ConfigError("is not a list of shares", where="steps")
        if not isinstance(step, int) or isinstance(step, bool):
            raise ConfigError(f"{step!r:.40} is not a whole number", where="step")
        return cls(
            pipeline=str(data["pipeline"]),
            release=str(data["release"]),
            stable=str(data["stable"]),
            canary=None if data["canary"] is None else str(data["canary"]),
            steps=tuple(float(s) for s in steps),
            step=step,
            runs={str(bundle): str(run) for bundle, run in runs.items()},
        )


def with_runs(state: ReleaseState, found: Mapping[str, str]) -> ReleaseState:
    """The state with what is known of its own bundles' runs, and nothing of bundles that it no longer names."""
    known = {**found, **state.runs}
    return replace(state, runs={b: known[b] for b in dict.fromkeys(state.tracks.values()) if b in known})


def effective_share(share: float) -> float:
    """The probability with which a unit is the canary's at a declared share: cohorts come in ten-thousandths."""
    return round(share * _RESOLUTION) / _RESOLUTION


def canary_share(state: ReleaseState) -> float:
    """The share of units that the canary serves, 0 to 1."""
    return state.steps[state.step] if state.draws else 0.0


def track_of(state: ReleaseState, unit: str) -> Track:
    """The track of a unit (a client): sticky, the same on every pod, and only ever stable -> canary as steps rise.

    ``sha256(release | unit) mod 10000 < share x 10000``; a new release draws everybody afresh.
    """
    digest = hashlib.sha256(f"{state.release}|{unit}".encode("utf-8", "surrogatepass")).digest()
    cohort = int.from_bytes(digest, "big") % _RESOLUTION
    return Track.CANARY if cohort < round(canary_share(state) * _RESOLUTION) else Track.STABLE
