"""``remint watch``: a long-running exporter of drift scores, estimated accuracy and what a check would answer."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

from remint.cli.forge_options import add_forge, forge_if_any
from remint.errors import ExitCode, MissingExtraError, ServiceError, UsageError

_EPILOG = """\
Nothing is decided or written down here: that is what `remint check` does on its schedule. A source that is away is
shown as such, and asked again at the next look. Metrics: docs/watch.md, alert rules: monitoring/rules.yaml.

examples:
  remint watch --port 9464
  remint watch --interval 1h --prometheus-url http://prometheus:9090
  GITHUB_TOKEN=... remint watch --forge github    # and when the scheduled workflows last ran
  remint watch --once > /var/lib/node_exporter/remint.prom
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=9464, help="0 takes a free one and says which (default: %(default)s)"
    )
    parser.add_argument("--interval", default="5m", metavar="DURATION", help="between two looks (default: %(default)s)")
    parser.add_argument("--once", action="store_true", help="look once and print the metrics to stdout")
    parser.add_argument("--source", choices=("prometheus", "log", "files"), help="of the counts; default: check.source")
    parser.add_argument("--prometheus-url", metavar="URL", help="default: REMINT_PROMETHEUS_URL, params.yaml")
    parser.add_argument("--store", metavar="URL", help="feedback store for labels; default: REMINT_STORE_URL")
    add_forge(parser, default="the one whose runner this is; elsewhere none is asked when workflows ran")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    try:
        from remint.adapters.exporter import Exporter
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{error.name} is not installed", where="remint watch", hint="pip install 'remint[serve]'"
        ) from None
    from remint.cli.common import stderr
    from remint.config import Source, load_params, parse_duration
    from remint.workflows.check import Question
    from remint.workflows.watch import listen, look, watch

    try:
        interval = parse_duration(args.interval)
    except ValueError as error:
        raise UsageError(str(error), where="--interval") from None
    if not 0 <= args.port <= 65_535:
        raise UsageError(f"{args.port} is not a port", where="--port")
    pipeline = load_params().pipeline
    forge = forge_if_any(args)
    exporter = Exporter(pipeline)

    def question(now: datetime) -> Question:
        return Question(
            now=now,
            source=Source(args.source) if args.source else None,
            prometheus_url=args.prometheus_url,
            store_url=args.store,
            dry_run=True,
        )

    def clock() -> datetime:
        return datetime.now(UTC)

    if args.once:
        failure = look(exporter, pipeline, directory=Path(), environ=os.environ, clock=clock, question=question)
        if forge is not None:
            listen(exporter, forge, directory=Path())
        sys.stdout.write(exporter.render().decode())
        return ExitCode.ANSWERED if failure is None else failure.exit_code
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    try:
        server, port = exporter.serve(args.host, args.port)
    except OSError as error:
        raise ServiceError(
            f"cannot listen on {args.host}:{args.port}: {error.strerror}", hint="another --port, or 0 for a free one"
        ) from None
    stderr.print(f"Watching {pipeline}, metrics on http://{args.host}:{port}/metrics", markup=False)
    try:
        watch(
            exporter,
            pipeline,
            directory=Path(),
            environ=os.environ,
            clock=clock,
            wait=lambda: stop.wait(interval.total_seconds()),
            question=question,
            forge=forge,
        )
    finally:
        server.shutdown()
        server.server_close()
    return ExitCode.ANSWERED
