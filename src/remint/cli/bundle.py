"""``remint bundle``: verify a model bundle, bring one out of DVC to where the service loads it, label its image."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.markup import escape

from remint.cli.common import emit_json, stderr
from remint.errors import ExitCode

_EPILOG = """\
examples:
  remint bundle verify artifacts/bundle
  remint bundle export --rev churn@v1.3.0 --bundles /var/lib/remint/bundles
  docker build $(remint bundle labels --rev HEAD | sed 's/^/--label=/') .
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    commands = parser.add_subparsers(dest="subcommand", metavar="COMMAND", required=True)
    verify = commands.add_parser(
        "verify",
        help="check a bundle's manifest, libraries and golden predictions",
        epilog="example: remint bundle verify artifacts/bundle",
    )
    verify.add_argument("bundle", type=Path, metavar="DIR", help="the bundle's directory")
    verify.add_argument("--id", metavar="sha256:HEX", help="the id that it has to have")
    verify.set_defaults(run=_verify)
    export = commands.add_parser(
        "export",
        help="fetch a commit's bundle from DVC, verify it, put it in <bundles>/<hex>/",
        epilog="example: remint bundle export --rev churn@v1.3.0 --bundles bundles",
    )
    export.add_argument("--rev", required=True, metavar="REV", help="a commit or a version's tag")
    export.add_argument("--bundles", required=True, type=Path, metavar="DIR", help="what the service loads from")
    export.set_defaults(run=_export)
    labels = commands.add_parser(
        "labels",
        help="print what the image of a commit's model says of itself, one KEY=VALUE a line",
        epilog="example: remint bundle labels --rev HEAD",
    )
    labels.add_argument("--rev", default="HEAD", metavar="REV", help="a commit or a version's tag (default: HEAD)")
    labels.set_defaults(run=_labels)
    for command in (verify, export, labels):
        command.add_argument("--json", action="store_true", help="print the answer as JSON")
        command.add_argument("--output", type=Path, metavar="FILE", help="write that JSON to FILE")


def _verify(args: argparse.Namespace) -> int:
    from remint.adapters.bundle import read_bundle
    from remint.config import load_params

    # Types beyond our own are trusted by the reviewed params.yaml at hand, never by the bundle.
    trusted = load_params().train.trusted_types if Path("params.yaml").exists() else ()
    bundle = read_bundle(args.bundle, trusted_types=trusted, expected_id=args.id)
    stderr.print(f"{bundle.id} is whole ({escape(str(args.bundle))})")
    answer = {"id": bundle.id, "pipeline": bundle.pipeline, "classes": list(bundle.schema.classes)}
    emit_json(answer, output=args.output, as_json=args.json)
    return ExitCode.ANSWERED


def _export(args: argparse.Namespace) -> int:
    from remint.config import load_params
    from remint.workflows.bundle import export_bundle

    exported = export_bundle(
        load_params(),
        Path(),
        rev=args.rev,
        bundles=args.bundles,
        progress=lambda line: stderr.print(line, style="dim", markup=False),
    )
    verb = "Was there" if exported.present else "Exported"
    stderr.print(f"{verb}: {exported.bundle.id} in {escape(str(args.bundles))} (commit {exported.commit[:12]})")
    answer = {
        "id": exported.bundle.id,
        "path": str(exported.path),
        "commit": exported.commit,
        "present": exported.present,
    }
    emit_json(answer, output=args.output, as_json=args.json)
    return ExitCode.ANSWERED


def _labels(args: argparse.Namespace) -> int:
    from remint.config import load_params
    from remint.workflows.bundle import image_labels

    found = image_labels(load_params(), Path(), rev=args.rev)
    if not args.json:  # a label without a value would say that there is one
        sys.stdout.writelines(f"{key}={value}\n" for key, value in found.items() if value is not None)
    emit_json(found, output=args.output, as_json=args.json)
    return ExitCode.ANSWERED
