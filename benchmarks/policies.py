"""When to retrain: accuracy against the number of retrains, on a stream in order of time.

    .venv/bin/python benchmarks/policies.py --data ../shared/data/elec.csv --label target --window 336
    .venv/bin/python benchmarks/policies.py --synthetic            # what our constants were chosen on

Test-then-train: histogram gradient boosting (100 iterations, random_state 0) trained on the last 12 windows serves from
the next window on; a policy decides at the end of a window, from labels of that window and earlier ones. Each possible
model is trained once and kept under .cache/, so a policy is a walk through what each got right, and every method is
given its whole range of limits: of each, the best accuracy with at most so many retrains is shown.

river's detectors get the champion's errors row by row and start afresh at each retrain. They run in a process of their
own, whose Python is named by --rivals-python, since river may not fit into this environment:

    uv venv /tmp/envs/river && uv pip install --python /tmp/envs/river/bin/python river
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import sklearn
from policies_report import (
    ORACLE,
    OURS,
    OURS_BUDGET,
    OURS_CPU,
    OURS_EARLIER,
    PERIODIC,
    PERIODIC_EARLIER,
    SHOWN,
    plot,
    table,
)
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from remint.core.divergence import smoothed_shares
from remint.simulation import policies
from remint.simulation.replay import (
    BestOfEarlier,
    Choice,
    Labelled,
    Newest,
    Outcomes,
    Policy,
    Replay,
    accuracy_within,
    best_in_hindsight,
    front,
    replay,
)
from remint.simulation.streams import Drift, stream

FIRST: Final = 12  # windows that a model is trained on, and before the first that is served
ITERATIONS: Final = 100
SHADOW_ITERATIONS: Final = 10
CACHE: Final = Path(__file__).parent.parent / ".cache" / "policies"
RIVER: Final = "uv venv /tmp/envs/river && uv pip install --python /tmp/envs/river/bin/python river"

MakePolicy = Callable[[], Policy]


@dataclass(frozen=True)
class Measured:
    """A stream's outcomes, and the CPU seconds of all models and of all shadows. ``key`` names them in the cache."""

    key: str
    outcomes: Outcomes
    model_cpu_seconds: float
    shadow_cpu_seconds: float


def measure(features: np.ndarray, labels: np.ndarray, window: int) -> Measured:
    """Train each possible model and each shadow once, or read them from the cache."""
    told = (sklearn.__version__, np.__version__, window, FIRST, ITERATIONS, SHADOW_ITERATIONS)
    key = hashlib.sha256(features.tobytes() + labels.tobytes() + repr(told).encode()).hexdigest()[:16]
    path = CACHE / f"{key}.npz"
    rows = len(labels)
    windows = -(-rows // window)
    if windows <= FIRST + 1:
        raise SystemExit(f"{rows} rows make {windows} windows of {window}: more than {FIRST + 1} are needed")
    if not path.exists():
        models, shadow, drift = [], np.zeros(rows, dtype=bool), np.zeros((windows - FIRST, windows))
        cpu = [0.0, 0.0]
        for model in range(windows - FIRST):
            training, then = slice(model * window, (model + FIRST) * window), slice((model + FIRST) * window, None)
            right, seconds = _right(features, labels, training, slice(None), ITERATIONS)
            models.append(right)
            cpu[0] += seconds
            following = slice(then.start, then.start + window)
            shadow[following], seconds = _right(features, labels, training, following, SHADOW_ITERATIONS)
            cpu[1] += seconds
            drift[model] = _largest_psi(features, training, window)
            _progress(f"training {model + 1} of {windows - FIRST} models")
        CACHE.mkdir(parents=True, exist_ok=True)
        np.savez(path, right=np.packbits(np.array(models), axis=1), shadow=shadow, drift=drift, cpu=cpu)
        _progress("")
    kept = np.load(path)
    outcomes = Outcomes(
        right=np.unpackbits(kept["right"], axis=1, count=rows).astype(bool),
        window_rows=window,
        first=FIRST,
        shadow_right=kept["shadow"],
        drift=kept["drift"],
    )
    return Measured(key, outcomes, *kept["cpu"].tolist())


def _right(
    features: np.ndarray, labels: np.ndarray, training: slice, tested: slice, iterations: int
) -> tuple[np.ndarray, float]:
    known = labels[training]
    if (known == known[0]).all():  # nothing to learn: the only class there is
        return labels[tested] == known[0], 0.0
    started = time.process_time()
    model = HistGradientBoostingClassifier(max_iter=iterations, random_state=0).fit(features[training], known)
    seconds = time.process_time() - started
    return model.predict(features[tested]) == labels[tested], seconds


def _largest_psi(features: np.ndarray, training: slice, window: int) -> np.ndarray:
    """Each window's largest PSI of a feature, over the deciles of the rows that a model was trained on."""
    windows = -(-len(features) // window)
    largest = np.zeros(windows)
    for column in features.T:
        edges = np.unique(np.quantile(column[training], np.linspace(0.1, 0.9, 9)))
        bins = np.searchsorted(edges, column, side="right")
        reference = smoothed_shares(np.bincount(bins[training], minlength=len(edges) + 1).astype(np.float64))
        for i in range(windows):
            counts = np.bincount(bins[i * window : (i + 1) * window], minlength=len(edges) + 1)
            current = smoothed_shares(counts.astype(np.float64))
            largest[i] = max(largest[i], float(((current - reference) * np.log(current / reference)).sum()))
    return largest


class River:
    """river's detectors, in a process of their own."""

    def __init__(self, python: str) -> None:
        worker = Path(__file__).with_name("river_worker.py")
        self._process = subprocess.Popen(
            [python, str(worker)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        version = self._answer()
        self.version: str = json.loads(version)

    def detector(self, name: str, parameters: Mapping[str, Any]) -> MakePolicy:
        return lambda: _Detector(self, name, parameters)

    def start(self, name: str, parameters: Mapping[str, Any]) -> None:
        self._ask({"new": [name, parameters]})

    def drifted(self, wrong: np.ndarray) -> bool:
        self._ask({"wrong": "".join(map(str, wrong.astype(int)))})
        return self._answer() == "1\n"

    def close(self) -> None:
        self._process.communicate()

    def _ask(self, request: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        if not (answer := self._process.stdout.readline()):
            assert self._process.stderr is not None
            raise OSError(self._process.stderr.read().strip().rpartition("\n")[2])
        return answer


class _Detector:
    def __init__(self, river: River, name: str, parameters: Mapping[str, Any]) -> None:
        self._river, self._name, self._parameters = river, name, parameters

    def retrains(self, seen: Labelled) -> bool:
        if seen.age == 1:
            self._river.start(self._name, self._parameters)
        return self._river.drifted(~seen.right)


def grid(**values: Sequence[Any]) -> list[dict[str, Any]]:
    return [dict(zip(values, row, strict=True)) for row in product(*values.values())]


def rivals() -> dict[str, list[dict[str, Any]]]:
    """Each detector's settings: its defaults are among them, the rest go from far too deaf to far too nervous."""
    confidence = (1e-12, 1e-9, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 5e-3, 0.01, 0.03, 0.1, 0.2, 0.4, 0.7, 0.9)
    ddm = grid(drift_threshold=(0.3, 0.7, 1, 1.3, 1.6, 2, 2.5, 3, 3.5, 4, 5, 6), warm_start=(30, 100, 300))
    ph = grid(threshold=(2, 4, 6, 8, 10, 13, 16, 20, 25, 30, 40, 50, 70, 100), delta=(0.001, 0.005, 0.02, 0.05))
    return {
        "DDM": [{**s, "warning_threshold": s["drift_threshold"] * 2 / 3} for s in ddm],
        "EDDM": [
            {**s, "alpha": min(0.999, s["beta"] + 0.05)}
            for s in grid(beta=(0.3, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.99), warm_start=(30, 100))
        ],
        "ADWIN": grid(delta=confidence, grace_period=(10, 100)),
        "HDDM_A": [
            {**s, "warning_confidence": min(1, 5 * s["drift_confidence"])} for s in grid(drift_confidence=confidence)
        ],
        "HDDM_W": [
            {**s, "warning_confidence": min(1, 5 * s["drift_confidence"])}
            for s in grid(drift_confidence=confidence, lambda_val=(0.005, 0.01, 0.05))
        ],
        "Page-Hinkley": [{**s, "mode": "up"} for s in ph],
        "KSWIN": [{"seed": 0, **s} for s in _kswin()],
    }


def _kswin() -> list[dict[str, Any]]:
    """Few settings: it takes minutes where the others take seconds."""
    small = grid(window_size=(100,), stat_size=(30,), alpha=(1e-12, 1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 5e-3, 0.05))
    return [*small, *grid(window_size=(672,), stat_size=(336,), alpha=(1e-8, 1e-4))]


def methods(window: int, windows: int) -> dict[str, tuple[Callable[[], Choice], dict[str, MakePolicy]]]:
    """Ours and the plain ones: how the next model is chosen, and a policy for each limit."""
    asked = windows - FIRST
    # shares of a window's rows; below 0: retrain even though the champion won the last window by so much
    limits = [*(-np.geomspace(0.005, 0.3, 20)[::-1]).tolist(), 0.0, *np.geomspace(0.005, 4, 80).tolist()]
    shadow = {f"{limit * window:.3g} errors": _make(policies.ShadowRegret, limit * window) for limit in limits}
    shadow["always"] = _make(policies.Every, 1)  # the limit below every regret
    periodic = {f"k = {k}": _make(policies.Every, k) for k in range(1, asked + 1)}
    budget = {f"at most {n}": _make(policies.ShadowBudget, n) for n in range(asked)}

    def swept(make: Callable[[float], Policy], values: np.ndarray, name: str) -> dict[str, MakePolicy]:
        return {f"{name} {value:.3g}": _make(make, float(value)) for value in values}

    losses = np.array(limits) * window
    return {
        OURS: (Newest, shadow),
        OURS_EARLIER: (BestOfEarlier, shadow),
        OURS_BUDGET: (Newest, budget),
        PERIODIC: (Newest, periodic),
        PERIODIC_EARLIER: (BestOfEarlier, periodic),
        "accuracy below a limit": (Newest, swept(policies.AccuracyBelow, np.linspace(0.3, 1, 141), "below")),
        "accuracy drop": (
            Newest,
            swept(policies.AccuracyDrop, np.linspace(-0.1, 0.4, 101), "drop"),
        ),
        "regret, no shadow": (Newest, swept(policies.Regret, losses, "errors")),
        "PSI of the features": (Newest, swept(policies.DriftAbove, np.geomspace(0.01, 10, 81), "above")),
    }


def _make(policy: Callable[[Any], Policy], value: float) -> MakePolicy:
    return lambda: policy(value)


def walk(measured: Measured, river: River | None) -> dict[str, dict[str, Replay]]:
    """Every method's replay for each of its settings. Every method may also never retrain."""
    outcomes = measured.outcomes
    found = {
        name: {setting: replay(outcomes, make(), choice) for setting, make in settings.items()}
        for name, (choice, settings) in methods(outcomes.window_rows, outcomes.windows).items()
    }
    if river is not None:
        for name, settings in rivals().items():
            found[name] = {json.dumps(one): _rival(measured, river, name, one) for one in settings}
        _progress("")
    never = replay(outcomes, policies.Never())
    return {name: {"never": never, **replays} for name, replays in found.items()}


def _rival(measured: Measured, river: River, name: str, parameters: Mapping[str, Any]) -> Replay:
    """One detector's replay, kept on disk: some of them take many seconds."""
    told = json.dumps([river.version, name, parameters], sort_keys=True)
    path = CACHE / f"{measured.key}-{hashlib.sha256(told.encode()).hexdigest()[:12]}.json"
    if not path.exists():
        _progress(f"{name} {told}")
        one = replay(measured.outcomes, river.detector(name, parameters)())
        path.write_text(json.dumps([one.accuracy, one.retrained_at, one.served]))
    accuracy, retrained_at, served = json.loads(path.read_text())
    return Replay(accuracy=accuracy, retrained_at=tuple(retrained_at), served=tuple(served))


def summary(name: str, measured: Measured, walks: Mapping[str, Mapping[str, Replay]]) -> dict[str, Any]:
    """What the JSON holds: all curves and fronts, the best in hindsight, and where ours are below whom."""
    outcomes = measured.outcomes
    most = outcomes.windows - 1 - FIRST
    oracle = best_in_hindsight(outcomes, most)
    shadows = measured.shadow_cpu_seconds / max(1e-9, measured.model_cpu_seconds / len(outcomes.right))
    curves = {m: [_within(replays, r) for r in range(most + 1)] for m, replays in walks.items()}
    dearer = math.ceil(shadows)
    curves[OURS_CPU] = [curves[OURS][max(0, n - dearer)] for n in range(most + 1)]
    fair = [m for m in curves if not m.startswith("remint") and m != PERIODIC_EARLIER]
    declared = {
        str(budget): {"retrains": one.retrains, "accuracy": one.accuracy}
        for budget, one in ((n, walks[OURS_BUDGET].get(f"at most {n}")) for n in SHOWN)
        if one is not None
    }
    return {
        "stream": name,
        "rows": int(outcomes.right.shape[1]),
        "window_rows": outcomes.window_rows,
        "windows_served": outcomes.windows - FIRST,
        "never": curves[OURS][0],
        "always": replay(outcomes, policies.Every(1)).accuracy,
        "shadow_cpu_retrains": shadows,
        "curves": {**curves, ORACLE: list(oracle)},
        "budget_declared": declared,
        "fronts": {m: _front(replays) for m, replays in walks.items()},
        "below": {ours: _below(curves, ours, fair) for ours in (OURS, OURS_EARLIER)},
    }


def _within(replays: Mapping[str, Replay], retrains: int) -> float:
    accuracy = accuracy_within(replays.values(), retrains)
    assert accuracy is not None  # to never retrain is among the replays
    return accuracy


def _front(replays: Mapping[str, Replay]) -> list[dict[str, Any]]:
    best = {id(one) for one in front(replays.values())}
    named = [
        {"retrains": one.retrains, "accuracy": one.accuracy, "setting": setting, "retrained_at": one.retrained_at}
        for setting, one in replays.items()
        if id(one) in best
    ]
    return sorted(named, key=lambda point: point["retrains"])


def _below(curves: Mapping[str, list[float]], ours: str, others: Sequence[str]) -> list[dict[str, Any]]:
    """Where another's curve is above ours: from how many retrains to how many, and by how much at most."""
    found = []
    for other in others:
        gaps = [theirs - mine for theirs, mine in zip(curves[other], curves[ours], strict=True)]
        above = [retrains for retrains, gap in enumerate(gaps) if gap > 0]
        if above:
            worst = max(above, key=gaps.__getitem__)
            found.append({"who": other, "retrains": above, "largest_gap": gaps[worst], "at_retrains": worst})
    return sorted(found, key=lambda one: -one["largest_gap"])


def synthetic(seeds: int) -> str:
    """How much better than every k-th window, in points of accuracy, averaged over streams of six kinds of drift."""
    gains: dict[str, list[list[float]]] = {}
    for drift, seed in product(Drift, range(seeds)):
        made = stream(drift, rows=110 * 336, seed=seed, quiet_rows=14 * 336)
        measured = measure(made.features, made.labels, 336)
        curves = summary(f"{drift} {seed}", measured, walk(measured, None))["curves"]
        for name, curve in curves.items():
            gains.setdefault(name, []).append([100 * (curve[n] - curves[PERIODIC][n]) for n in SHOWN])
    lines = [
        f"{len(gains[OURS])} synthetic streams; points of accuracy above *{PERIODIC}*, mean.",
        "",
        "| with at most so many retrains | " + " | ".join(map(str, SHOWN)) + " |",
        "|---|" + "--:|" * len(SHOWN),
    ]
    for name, rows in gains.items():
        lines.append(f"| {name} | " + " | ".join(f"{gain:+.2f}" for gain in np.mean(rows, axis=0)) + " |")
    return "\n".join(lines)


def read(path: Path, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Features as numbers (text by order of appearance) and labels as codes, in the file's order."""
    frame = pd.read_csv(path)
    if label not in frame:
        raise SystemExit(f"{path}: no column {label!r}; it has {', '.join(map(str, frame.columns))}")
    labels = pd.factorize(frame.pop(label), sort=True)[0]
    columns = [c if pd.api.types.is_numeric_dtype(c) else pd.factorize(c)[0] for _, c in frame.items()]
    return np.column_stack([np.asarray(c, dtype=np.float64) for c in columns]), labels


@contextmanager
def detectors(python: str) -> Iterator[River | None]:
    """river, or None and why."""
    try:
        river = River(python)
    except OSError as error:
        print(f"river's detectors are left out: {error}\nto have them: {RIVER}, then --rivals-python", file=sys.stderr)
        yield None
        return
    try:
        yield river
    finally:
        river.close()


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/elec.csv"), help="CSV, rows in order of time")
    parser.add_argument("--label", default="target")
    parser.add_argument("--window", type=int, default=336, help="rows")
    parser.add_argument("--rivals-python", default=sys.executable, help="a Python that can import river")
    parser.add_argument("--synthetic", action="store_true", help="the streams our constants were chosen on, instead")
    parser.add_argument("--seeds", type=int, default=2, help="synthetic streams of each kind")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg")
    args = parser.parse_args()
    with threadpool_limits(1):
        if args.synthetic:
            print(synthetic(args.seeds))
            return
        measured = measure(*read(args.data, args.label), args.window)
        with detectors(args.rivals_python) as river:
            result = summary(args.data.stem, measured, walk(measured, river))
            result["river"] = None if river is None else river.version
    print(table(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    if args.plot:
        args.plot.write_text(plot(result))


if __name__ == "__main__":
    main()
