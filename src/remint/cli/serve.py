"""``remint serve``: the stable and the canary bundle behind one address."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from remint.errors import ConfigError, ExitCode, MissingExtraError, UsageError

_EPILOG = """\
environment:
  REMINT_STORE_URL       the store, where --store is not given
  REMINT_SERVICE_TOKEN   bearer token of GET /feedback/export; without it the export is off
  REMINT_PREDICTION_KEY  signs prediction ids; without it a random key that stays in the store

A change of the state file is the only swap; SIGHUP looks at it at once. The endpoints: docs/serving.md.

example: remint serve --state deploy/state.yaml --bundles bundles --store sqlite:///feedback.db --port 8000
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state",
        type=Path,
        default=Path("deploy/state.yaml"),
        metavar="FILE",
        help="what to serve (default: %(default)s)",
    )
    parser.add_argument(
        "--bundles",
        type=Path,
        required=True,
        metavar="DIR",
        help="holds a directory for each bundle, named by its id's hex digits",
    )
    parser.add_argument(
        "--store",
        metavar="URL",
        help="predictions and feedback, e.g. sqlite:///feedback.db (default: REMINT_STORE_URL)",
    )
    parser.add_argument(
        "--params",
        type=Path,
        default=Path("params.yaml"),
        metavar="FILE",
        help="pipeline, limits and trusted types (default: %(default)s)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=8000, help="0 takes a free one and says which (default: %(default)s)"
    )
    parser.epilog = _EPILOG
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    try:
        from remint.serving.server import serve
        from remint.serving.service import TOKEN_VARIABLE
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{error.name} is not installed", where="remint serve", hint="pip install 'remint[serve]'"
        ) from None
    from remint.adapters.modules import importable
    from remint.config import load_params

    if not 0 <= args.port <= 65_535:
        raise UsageError(f"{args.port} is not a port", where="--port")
    store = args.store or os.environ.get("REMINT_STORE_URL")
    if not store:
        raise ConfigError("no store", where="--store", hint="give --store or set REMINT_STORE_URL")
    with importable(
        args.params.parent
    ):  # a team's own transformers stand beside params.yaml, which trusts them by name
        serve(
            load_params(args.params),
            state=args.state,
            bundles=args.bundles,
            store_url=store,
            host=args.host,
            port=args.port,
            export_token=os.environ.get(TOKEN_VARIABLE) or None,
        )
    return ExitCode.ANSWERED
