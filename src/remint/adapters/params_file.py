"""``params.yaml`` changed by a program: one value, with every comment, quote and blank line where it was."""

from __future__ import annotations

import io
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.scalarstring import DoubleQuotedScalarString
from ruamel.yaml.util import load_yaml_guess_indent

from remint.adapters.files import write_atomically
from remint.core.document import format_time, parse_time
from remint.errors import ConfigError


def write_until(path: Path, *, sequence: int, arrived_at: str | None) -> None:
    """Set ``prepare.until``. The time is quoted, because DVC cannot read an unquoted one."""
    text = path.read_text(encoding="utf-8")
    data, indent, offset = load_yaml_guess_indent(text)
    if not isinstance(data, CommentedMap) or not isinstance(data.get("prepare"), CommentedMap):
        raise ConfigError("has no section 'prepare'", where=str(path))
    prepare = data["prepare"]
    until = prepare.get("until")
    if not isinstance(until, CommentedMap):
        until = prepare["until"] = CommentedMap()
    until["sequence"] = sequence
    when = None if arrived_at is None else format_time(parse_time(arrived_at, where="until.arrived_at"))
    until["arrived_at"] = None if when is None else DoubleQuotedScalarString(when)
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 100_000  # no line is broken that was not
    yaml.representer.add_representer(type(None), lambda r, _: r.represent_scalar("tag:yaml.org,2002:null", "null"))
    yaml.indent(mapping=2, sequence=indent or 2, offset=offset or 0)
    out = io.StringIO()
    yaml.dump(data, out)
    write_atomically(path, out.getvalue())
