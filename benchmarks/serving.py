"""The service against a bare Starlette app that calls predict_proba a request. Read the ratio, not the figures.

    .venv/bin/python benchmarks/serving.py [--seconds 5] [--connections 64]

Both sides: one uvicorn worker, the same model (20 floats, scaler + logistic regression), the same client, alternating
in one run. The service also logs each row durably, counts the bins of 22 fields and answers with prediction ids; the
bare app does none of that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from remint.adapters.bundle import predict, read_bundle, write_bundle
from remint.adapters.state import write_state
from remint.core.document import DocumentKind, seal
from remint.core.profile import build_reference
from remint.core.release import ReleaseState
from remint.core.schema import Column, Kind, Schema
from remint.core.table import Table

NAMES = [f"f{i}" for i in range(20)]


def make_world(directory: Path) -> Path:
    """A bundle, a state and params; the bundle's directory."""
    schema = Schema(
        pipeline="bench",
        features=tuple(Column(name=n, kind=Kind.NUMERIC) for n in NAMES),
        label="y",
        classes=("0", "1"),
    )
    values = np.random.default_rng(0).normal(size=(5_000, 20))
    table = Table(schema.features, {n: values[:, i] for i, n in enumerate(NAMES)})
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(values, (values[:, 0] > 0).astype(int))
    found = predict(model, schema, table)
    reference = build_reference(schema, table, held_out_predicted=found.labels, held_out_confidence=found.confidence)
    draft = directory / "bundles" / "draft"
    bundle = write_bundle(
        draft,
        model=model,
        schema=schema,
        reference=reference,
        golden=table.take(np.arange(10)),
        metadata=seal(DocumentKind.METADATA, "bench", {}),
    )
    place = draft.rename(draft.with_name(bundle.removeprefix("sha256:")))
    state = ReleaseState(pipeline="bench", release="r1", stable=bundle, canary=None, steps=(1.0,), step=-1)
    write_state(directory / "state.yaml", state)
    params = {
        "pipeline": "bench",
        "task": {"data": "x", "label": "y", "columns": dict.fromkeys(NAMES, "numeric")},
        "prepare": {"golden": {"sha256": "0" * 64}},
        "train": {"estimator": "remint.estimators:linear"},
        "gate": {"rules": [{"metric": "accuracy", "role": "gate"}]},
        "check": {"rules": {"age": {"kind": "age", "max_age": "30d"}}},
    }
    (directory / "params.yaml").write_text(yaml.safe_dump(params))
    return place


def bare(place: Path, port: int) -> None:
    """What most people write first."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    model = read_bundle(place).model

    async def answer(request: Request) -> JSONResponse:
        row = (await request.json())["row"]
        return JSONResponse({"probabilities": model.predict_proba([[row[n] for n in NAMES]])[0].tolist()})

    app = Starlette(routes=[Route("/predict", answer, methods=["POST"])])
    uvicorn.run(app, port=port, log_level="error", access_log=False)


async def load(port: int, connections: int, seconds: float) -> tuple[float, float]:
    """Requests a second and the median latency in milliseconds, over keep-alive connections on raw sockets."""
    body = json.dumps({"row": dict.fromkeys(NAMES, 0.1)}).encode()
    request = (
        b"POST /predict HTTP/1.1\r\nhost: x\r\nx-remint-unit: u\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%s" % (len(body), body)
    )
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (started := time.perf_counter()) < end:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(size)
            latencies.append(time.perf_counter() - started)
        writer.close()

    await asyncio.gather(*(connection() for _ in range(connections)))
    return len(latencies) / seconds, statistics.median(latencies) * 1_000


def start(command: list[str], port: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command)
    for _ in range(300):
        try:
            asyncio.run(load(port, 1, 0.05))
            return process
        except OSError:
            time.sleep(0.1)
    process.kill()
    raise SystemExit(f"did not start: {command}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each round")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bare", nargs=2, metavar=("BUNDLE", "PORT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.bare:
        bare(Path(args.bare[0]), int(args.bare[1]))
        return
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        place = make_world(directory)
        ours = [
            sys.executable,
            "-c",
            "from remint.cli.main import entry; entry()",
            "-C",
            name,
            "serve",
            "--state",
            "state.yaml",
        ]
        ours += ["--bundles", "bundles", "--store", "sqlite:///x.db", "--port", "8801"]
        commands = {
            "bare Starlette, predict_proba a request": ([sys.executable, __file__, "--bare", str(place), "8802"], 8802),
            "remint serve": (ours, 8801),
        }
        running = {title: (start(command, port), port) for title, (command, port) in commands.items()}
        try:
            results: dict[str, list[tuple[float, float]]] = {title: [] for title in commands}
            for _ in range(args.rounds):
                for title, (_, port) in running.items():
                    results[title].append(asyncio.run(load(port, args.connections, args.seconds)))
        finally:
            for process, _ in running.values():
                process.terminate()
                process.wait()
    print("| stack | requests/s | p50 ms |\n|---|--:|--:|")
    for title, rounds in results.items():
        rate, p50 = (statistics.median(values) for values in zip(*rounds, strict=True))
        print(f"| {title} | {rate:,.0f} | {p50:.1f} |")


if __name__ == "__main__":
    main()
