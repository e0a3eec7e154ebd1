"""``--forge``, the same in each command that talks to one."""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from remint.adapters.forge import Forge

_KINDS = ("github", "gitea", "local")


def add_forge(parser: argparse.ArgumentParser, *, default: str = "the one whose runner this is") -> None:
    parser.add_argument(
        "--forge",
        choices=_KINDS,
        help=f"gitea is Forgejo as well, local a file in the bare repository that is origin (default: {default})",
    )


def the_forge(args: argparse.Namespace) -> Forge:
    """Raises UsageError where neither the option nor the environment says which."""
    from remint.adapters.forge import ForgeKind, choose_forge
    from remint.adapters.git import Git

    kind = None if args.forge is None else ForgeKind(args.forge)
    return choose_forge(Git(Path()), os.environ, clock=lambda: datetime.now(UTC), kind=kind)


def forge_if_any(args: argparse.Namespace) -> Forge | None:
    from remint.adapters.forge import kind_of_environment

    return None if args.forge is None and kind_of_environment(os.environ) is None else the_forge(args)
