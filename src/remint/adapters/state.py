"""``deploy/state.yaml``: read and written whole."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import yaml

from remint.adapters.files import write_atomically
from remint.core.release import ReleaseState
from remint.errors import ConfigError

_HEADER: Final = """\
# The release that `remint serve` follows: a change of this file is the only swap of a model.
# Written by `remint canary`; step -1 sends nothing to the canary, step k sends the share steps[k].
"""


def read_state(path: Path) -> ReleaseState:
    """Raises ConfigError with the file, the key and what is wrong with it."""
    return parse_state(state_bytes(path), where=str(path))


def state_bytes(path: Path) -> bytes:
    """The file as it is, for who has to see whether it changed."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ConfigError("not found", where=str(path), hint="`remint canary` writes it") from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from None


def parse_state(data: bytes, *, where: str) -> ReleaseState:
    try:
        return ReleaseState.from_json(yaml.safe_load(data))
    except yaml.YAMLError as error:
        raise ConfigError(f"not YAML: {getattr(error, 'problem', None) or error}", where=where) from None
    except ConfigError as error:
        place = f"{where}: {error.where}" if error.where else where
        raise ConfigError(error.message, where=place, hint=error.hint) from None


def write_state(path: Path, state: ReleaseState) -> None:
    """Atomic, and the same state always gives the same bytes."""
    body = yaml.safe_dump(state.to_json(), sort_keys=False, default_flow_style=None, width=120)
    write_atomically(path, _HEADER + body)
