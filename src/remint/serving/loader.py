"""From a state to loaded models. A load that fails changes nothing that serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from remint.adapters.bundle import Bundle, read_bundle
from remint.core.release import ReleaseState, Track, track_of
from remint.errors import BundleError, ConfigError, RemintError
from remint.serving.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What serves: one immutable assignment. A request takes it once, so a swap never splits a request."""

    state: ReleaseState
    models: Mapping[Track, Bundle]

    def pick(self, unit: str) -> tuple[Track, Bundle]:
        track = track_of(self.state, unit)
        return track, self.models[track]

    @property
    def classes(self) -> tuple[str, ...]:
        """Every class that a served model knows."""
        return tuple(dict.fromkeys(c for bundle in self.models.values() for c in bundle.schema.classes))


class Loader:
    """Reads the bundles that a state names, checks and warms them."""

    def __init__(self, directory: Path, *, pipeline: str, trusted_types: Sequence[str], metrics: Metrics) -> None:
        self._directory = directory
        self._pipeline = pipeline
        self._trusted_types = tuple(trusted_types)
        self._metrics = metrics

    def load(self, state: ReleaseState, *, loaded: Mapping[str, Bundle]) -> Release:
        """Raises RemintError (counted) where a bundle cannot be had; bundles in ``loaded`` are taken as they are."""
        try:
            if state.pipeline != self._pipeline:
                raise ConfigError(f"is of pipeline {state.pipeline!r}, not {self._pipeline!r}", where="state")
            bundles = dict(loaded)
            for bundle_id in dict.fromkeys(state.tracks.values()):
                if bundle_id not in bundles:
                    bundles[bundle_id] = self._read(bundle_id)
            models = {track: bundles[bundle_id] for track, bundle_id in state.tracks.items()}
            self._metrics.activate({track: bundle.reference for track, bundle in models.items()}, state)
        except RemintError:
            self._metrics.loads_failed.inc()
            raise
        return Release(state=state, models=models)

    def _read(self, bundle_id: str) -> Bundle:
        # read_bundle verifies digests, versions and schema, and predicts the golden rows: the model is warm afterwards.
        place = self._directory / bundle_id.removeprefix("sha256:")
        bundle = read_bundle(place, trusted_types=self._trusted_types, expected_id=bundle_id)
        if bundle.pipeline != self._pipeline:
            raise BundleError(f"is of pipeline {bundle.pipeline!r}, not {self._pipeline!r}", where=str(place))
        self._metrics.loads_ok.inc()
        return bundle
