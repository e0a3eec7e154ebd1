"""``dvc.lock`` and ``.gitattributes`` as bytes: read and written as DVC does it, and what git has to know to merge."""

from __future__ import annotations

import io
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from remint.adapters.git import Git
from remint.core.lock_merge import Lock, parse_lock
from remint.errors import DataError

DRIVER: Final = "remint-lock"
ATTRIBUTES: Final = Path(".gitattributes")
LOCK: Final = "dvc.lock"
_NAME_KEY: Final = f"merge.{DRIVER}.name"
_DRIVER_KEY: Final = f"merge.{DRIVER}.driver"


def read_lock(content: bytes, *, where: str) -> Lock:
    """Raises DataError for what is not YAML, has conflict markers in it, or is no lock file."""
    return parse_lock(_load(content, where=where), where=where)


def format_lock(lock: Lock, *, line_end: str = "\n") -> str:
    """The text that DVC itself would write."""
    stream = io.StringIO()
    writer = YAML()
    writer.default_flow_style = False
    writer.dump(lock.to_document(), stream)
    return stream.getvalue().replace("\n", line_end)


def line_end_of(content: bytes) -> str:
    return "\r\n" if b"\r\n" in content else "\n"


def read_wdirs(pipeline_file: Path) -> dict[str, str]:
    """Stage -> its ``wdir``, where ``dvc.yaml`` names one; DVC writes a stage's paths relative to it.

    Raises DataError where that cannot be known: the file is unreadable just now, or a ``wdir`` is a template.
    """
    if not pipeline_file.is_file():
        return {}
    document = _load(pipeline_file.read_bytes(), where=str(pipeline_file))
    stages = document.get("stages") if isinstance(document, Mapping) else None
    found: dict[str, str] = {}
    for name, stage in (stages or {}).items():
        body = stage.get("do", stage) if isinstance(stage, Mapping) else {}
        wdir = body.get("wdir") if isinstance(body, Mapping) else None
        if wdir is not None and "${" in str(wdir):
            raise DataError(f"the wdir of stage {name!r} is a template", where=str(pipeline_file))
        if wdir is not None:
            found[str(name)] = str(wdir)
    return found


def driver_command() -> str:
    """For ``git config``: this Python, so that the merge works in a shell without the environment too."""
    return f"{shlex.quote(sys.executable)} -m remint lock merge %O %A %B %P"


def merge_settings(git: Git) -> tuple[str, str | None]:
    """The merge attribute of ``dvc.lock`` (``unspecified`` where there is none), and this clone's driver command."""
    attribute = git.run("check-attr", "merge", "--", LOCK).rpartition(": ")[2]
    command = git.run("config", "--get", _DRIVER_KEY) if git.succeeds("config", "--get", _DRIVER_KEY) else None
    return attribute, command


def set_driver(git: Git) -> None:
    git.run("config", "--local", _NAME_KEY, "dvc.lock, merged by stage (remint)")
    git.run("config", "--local", _DRIVER_KEY, driver_command())


def _load(content: bytes, *, where: str) -> Any:
    try:
        return YAML(typ="safe").load(content.decode("utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"not YAML: {' '.join(str(error).split())[:120]}", where=where) from None
