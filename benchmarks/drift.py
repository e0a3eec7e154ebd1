"""The drift check beside Evidently, NannyML, alibi-detect, frouros, whylogs and river: the same rows, one run.

    .venv/bin/python benchmarks/drift.py [--quick] [--peers evidently,river] [--tables speed,alarms] [--json FILE]

Each peer runs in an environment of its own under .cache/peers, built at the first run from the pins below; one that
cannot be built, or that fails, is reported with its error and the run goes on. Rows are generated from the seed by each
side; their digests are compared. Times and memory are of this machine: read the ratios. Linux only (/proc).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent / ".cache" / "peers"
PYTHON: Final = "3.11"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One side: what it needs to be importable, and which of its tools answer which question."""

    pins: tuple[str, ...]  # empty: this project's own environment
    speed: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()


#: No telemetry; and BLAS on one thread: threads that wait for a busy core make small products take milliseconds.
QUIET: Final = {
    "DO_NOT_TRACK": "1",
    "NML_DISABLE_USAGE_LOGGING": "1",
    "PYTHONWARNINGS": "ignore",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}

#: The newest versions, and what they need beside them: plain installs of evidently (pandas 3), nannyml (no statsmodels)
#: and whylogs (no pandas) fail on import.
PEERS: Final = {
    "remint": Peer(pins=(), speed=("counts", "files", "read"), alarms=("decisions",), streams=("250 rows", "1 row")),
    "evidently": Peer(
        pins=("evidently==0.7.23", "pandas==2.3.3", "numpy==2.4.6", "scipy==1.17.1", "pyarrow==26.0.1"),
        speed=("report", "report, PSI"),
        alarms=("decision",),
    ),
    "nannyml": Peer(
        pins=("nannyml==0.13.1", "pandas==2.3.3", "numpy==2.4.6", "scipy==1.17.1", "statsmodels==0.15.0"),
        speed=("speed",),
        alarms=("chunks",),
    ),
    "alibi-detect": Peer(
        pins=("alibi-detect==0.13.0", "numpy==1.26.4", "scipy==1.17.1"), speed=("ks",), alarms=("ks",)
    ),
    "frouros": Peer(
        pins=("frouros==0.9.0", "numpy==2.1.3", "scipy==1.14.1"),
        speed=("ks", "psi"),
        alarms=("ks", "psi"),
        streams=("ADWIN", "PageHinkley", "KSWIN", "DDM", "IncrementalKSTest"),
    ),
    "whylogs": Peer(
        pins=("whylogs[viz]==1.6.4", "pandas==3.1.1", "numpy==2.4.6", "scipy==1.17.1"),
        speed=("profile",),
        alarms=("profile",),
    ),
    "river": Peer(
        pins=("river==0.26.1", "numpy==2.4.6", "scipy==1.17.1"),
        alarms=("adwin",),
        streams=("ADWIN", "PageHinkley", "KSWIN", "DDM"),
    ),
}

SIZES: Final = {"100k x 50": (100_000, 50), "1M x 20": (1_000_000, 20)}
REFERENCE_ROWS: Final = 10_000
DAY_ROWS: Final = 1_000  # of a year's daily windows; its reference holds 30 such days
EVENTS: Final = 100_000

#: column of the table -> the world of its windows
WINDOWS: Final[dict[str, dict[str, float]]] = {
    "clean, 200": {"window_rows": 200},
    "clean, 1k": {"window_rows": 1_000},
    "clean, 10k": {"window_rows": 10_000},
    "0.2 σ, 1k": {"window_rows": 1_000, "shift": 0.2},
    "0.2 σ, 10k": {"window_rows": 10_000, "shift": 0.2},
    "0.5 σ, 1k": {"window_rows": 1_000, "shift": 0.5},
    "0.5 σ, 10k": {"window_rows": 10_000, "shift": 0.5},
}
#: own-day PSI of the harmless variation, and the shift of every day of the year
YEARS: Final[dict[str, tuple[float, float]]] = {
    "0": (0.0, 0.0),
    "0.0045": (0.0045, 0.0),
    "0.018": (0.018, 0.0),
    "0.0045, 0.2 σ": (0.0045, 0.2),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is simulated. A tool too slow for it gets less; how much less is set before anything is seen."""

    references: int = 10
    windows: int = 10  # of each reference
    years: int = 10
    windows_patience_seconds: float = 60.0  # of one tool in one world
    years_patience_seconds: float = 60.0
    stream_patience_seconds: float = 5.0


QUICK: Final = Plan(
    references=4,
    windows=10,
    years=4,
    windows_patience_seconds=15.0,
    years_patience_seconds=30.0,
    stream_patience_seconds=2.0,
)


@dataclass(slots=True)
class Found:
    """Everything measured: table -> column -> "peer: tool" -> the answer."""

    errors: dict[str, str] = field(default_factory=dict)  # "peer" or "peer: tool, column" -> why there is no answer
    answers: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)

    def add(self, table: str, column: str, peer: str, tool: str, answer: dict[str, Any]) -> None:
        if "error" in answer:
            self.errors[f"{peer}: {tool}, {column}"] = answer["error"]
            return
        row = self.answers.setdefault(table, {}).setdefault(column, {})
        row[f"{peer}: {tool}"] = answer
        digests = {other["digest"] for other in row.values() if other.get("errors") == answer.get("errors")}
        if len(digests) > 1:
            raise SystemExit(f"{peer} did not see the rows that the others saw ({table}, {column})")


def environment(name: str) -> Path:
    """The peer's interpreter, built where it is missing or its pins changed. CalledProcessError where that fails."""
    peer = PEERS[name]
    if not peer.pins:
        return Path(sys.executable)
    place = CACHE / name
    interpreter, marker = place / "bin" / "python", place / "pins.txt"
    pins = "\n".join((PYTHON, *peer.pins))
    if not (interpreter.exists() and marker.exists() and marker.read_text() == pins):
        say(f"building {place}")
        for command in (
            ["uv", "venv", "--quiet", "--clear", "--python", PYTHON, str(place)],
            ["uv", "pip", "install", "--quiet", "--compile-bytecode", "--python", str(interpreter), *peer.pins],
        ):
            subprocess.run(command, check=True, capture_output=True, text=True)
        marker.write_text(pins)
    return interpreter


def ask(interpreter: Path, peer: str, job: dict[str, Any]) -> dict[str, Any]:
    """The answer of one tool, in a process of its own."""
    script = HERE / "peers" / f"run_{peer.replace('-', '_')}.py"
    with tempfile.TemporaryDirectory(prefix="remint-drift-") as work:
        done = subprocess.run(
            [interpreter, script, json.dumps(job)],
            capture_output=True,
            text=True,
            env={**os.environ, **QUIET, "TMPDIR": work},
        )
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def jobs(tables: Sequence[str], plan: Plan, seed: int) -> Iterator[tuple[str, str, str, str, dict[str, Any]]]:
    """Table, column, peer, tool, job; peers alternate, so that a busy machine slows all of them."""
    world: dict[str, float]
    for table in tables:
        match table:
            case "speed":
                for size, (rows, features) in SIZES.items():
                    world = {"seed": seed, "reference_rows": rows, "window_rows": rows, "features": features}
                    for name, peer in PEERS.items():
                        for tool in peer.speed:
                            yield table, size, name, tool, {"task": "speed", "world": world}
            case "alarms":
                for column, differences in WINDOWS.items():
                    world = {"seed": seed, "reference_rows": REFERENCE_ROWS, **differences}
                    job = {
                        "task": "windows",
                        "world": world,
                        "references": plan.references,
                        "windows": plan.windows,
                        "patience": plan.windows_patience_seconds,
                    }
                    for name, peer in PEERS.items():
                        for tool in peer.alarms:
                            yield table, column, name, tool, job
            case "years":
                for column, (own_day_psi, shift) in YEARS.items():
                    world = {
                        "seed": seed,
                        "reference_rows": 30 * DAY_ROWS,
                        "window_rows": DAY_ROWS,
                        "own_day_psi": own_day_psi,
                        "shift": shift,
                    }
                    job = {
                        "task": "years",
                        "world": world,
                        "years": plan.years,
                        "days": 365,
                        "patience": plan.years_patience_seconds,
                    }
                    for name, peer in PEERS.items():
                        for tool in peer.alarms:
                            yield table, column, name, tool, job
            case "streams":
                job = {"task": "stream", "seed": seed, "events": EVENTS, "patience": plan.stream_patience_seconds}
                for name, peer in PEERS.items():
                    for tool in peer.streams:
                        yield table, "streams", name, tool, job
            case unknown:
                raise SystemExit(f"no such table: {unknown}")


def show(found: Found) -> str:
    """The tables as Markdown."""
    parts = []
    if "speed" in found.answers:
        parts.append(_speed_table(found.answers["speed"]))
    if "alarms" in found.answers:
        parts.append(_alarms_table(found.answers["alarms"]))
    if "years" in found.answers:
        parts.append(_years_table(found.answers["years"]))
    if "streams" in found.answers:
        parts.append(_streams_table(found.answers["streams"]["streams"]))
    if found.errors:
        reasons: dict[str, list[str]] = {}
        for what, why in found.errors.items():
            reasons.setdefault(why, []).append(what)
        parts.append("No answer:\n\n" + "\n".join(f"- {'; '.join(what)}: {why}" for why, what in reasons.items()))
    return "\n\n".join(parts)


def _speed_table(columns: dict[str, dict[str, Any]]) -> str:
    rows = []
    for row in _rows(columns):
        cells = []
        for column in columns.values():
            answer, ours = column.get(row), column.get("remint: files")
            if answer is None:
                cells += ["-"] * 4
                continue
            ratio = f"{answer['check_seconds'] / ours['check_seconds']:,.1f}" if ours else "-"
            prepare = answer["prepare_seconds"]
            cells += ["-" if prepare < 0.001 else f"{prepare:.2f}", f"{answer['check_seconds']:.3f}", ratio]
            cells.append(f"{answer['peak_bytes'] / 1e6:,.0f}")
        rows.append([*_name(columns, row), *cells])
    head = [f"{size}: {what}" for size in columns for what in ("prepare s", "check s", "times remint's", "peak MB")]
    return _table(["tool", "call", *head], rows)


def _alarms_table(columns: dict[str, dict[str, Any]]) -> str:
    rows = []
    for row in _rows(columns):
        for decision in _decisions(columns, row, "alarms"):
            cells = [
                _share_of_windows(c[row]["alarms"][decision], c[row]["windows"]) if row in c else "-"
                for c in columns.values()
            ]
            tool, call = _name(columns, row)
            rows.append([tool, f"{call}: {decision}", *cells])
    return _table(["tool", "decision", *columns], rows)


def _years_table(columns: dict[str, dict[str, Any]]) -> str:
    rows = []
    for row in _rows(columns):
        for decision in _decisions(columns, row, "first_alarm_day"):
            cells = [
                _share_of_years(c[row]["first_alarm_day"][decision]) if row in c else "-" for c in columns.values()
            ]
            tool, call = _name(columns, row)
            rows.append([tool, f"{call}: {decision}", *cells])
    return _table(["tool", "decision", *columns], rows)


def _streams_table(answers: dict[str, Any]) -> str:
    ours = answers.get("remint: 250 rows")
    rows = [
        [
            row.partition(":")[0],
            answer["call"],
            "errors" if answer["errors"] else "values",
            f"{answer['events_per_second']:,.0f}",
            f"{answer['events_per_second'] / ours['events_per_second']:.4f}" if ours else "-",
            f"{answer['alarms'] / answer['events'] * 100_000:.0f}",
        ]
        for row, answer in answers.items()
    ]
    return _table(["tool", "detector", "stream of", "events/s", "times remint's", "alarms in 100k"], rows)


def _share_of_windows(alarms: Sequence[int], windows: int) -> str:
    """Share with its standard error: between references, and at least what as many coin tosses would have."""
    total = len(alarms) * windows
    share = sum(alarms) / total
    between = statistics.stdev(a / windows for a in alarms) / math.sqrt(len(alarms)) if len(alarms) > 1 else 0.0
    return f"{100 * share:.1f} ± {100 * max(between, _binomial_error(sum(alarms), total)):.1f}"


def _share_of_years(first_alarm_day: Sequence[int | None]) -> str:
    days = [math.inf if day is None else day for day in first_alarm_day]
    fired = sum(math.isfinite(day) for day in days)
    share = f"{100 * fired / len(days):.0f} ± {100 * _binomial_error(fired, len(days)):.0f}"
    median = statistics.median_low(days)
    return f"{share} ({len(days)})" + (f", day {median:.0f}" if math.isfinite(median) else "")


def _binomial_error(successes: int, trials: int) -> float:
    share = (successes + 0.5) / (trials + 1)  # not 0 where nothing, or everything, was found
    return math.sqrt(share * (1 - share) / trials)


def _rows(columns: dict[str, dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row for column in columns.values() for row in column))


def _name(columns: dict[str, dict[str, Any]], row: str) -> tuple[str, str]:
    answer = next(column[row] for column in columns.values() if row in column)
    return row.partition(":")[0], answer["call"]


def _decisions(columns: dict[str, dict[str, Any]], row: str, key: str) -> list[str]:
    return list(next(column[row] for column in columns.values() if row in column)[key])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---", "---", *["--:"] * (len(head) - 2)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *rows))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer simulations")
    parser.add_argument("--peers", default=",".join(PEERS), help=f"of {', '.join(PEERS)}; remint is always there")
    parser.add_argument("--tables", default="speed,alarms,years,streams")
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure, after each answer")
    parser.add_argument("--show", type=Path, metavar="FILE", help="print the tables of such a file and run nothing")
    args = parser.parse_args()
    if args.show:
        print(show(Found(**json.loads(args.show.read_text()))))
        return
    if unknown := set(args.peers.split(",")) - set(PEERS):
        raise SystemExit(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    found = Found()
    interpreters: dict[str, Path] = {}
    for name in PEERS:
        if name == "remint" or name in args.peers.split(","):
            try:
                interpreters[name] = environment(name)
            except subprocess.CalledProcessError as error:
                found.errors[name] = f"cannot be installed: {error.stderr.strip().splitlines()[-1]}"
    for table, column, name, tool, job in jobs(args.tables.split(","), QUICK if args.quick else Plan(), args.seed):
        if name not in interpreters:
            continue
        start = time.perf_counter()
        answer = ask(interpreters[name], name, {**job, "tool": tool})
        found.add(table, column, name, tool, answer)
        outcome = answer.get("error", "done")
        say(f"{table}: {column}: {name}, {tool}: {time.perf_counter() - start:.0f} s, {outcome}")
        if args.json:
            args.json.write_text(json.dumps({"errors": found.errors, "answers": found.answers}, indent=1) + "\n")
    print(show(found))


if __name__ == "__main__":
    main()
