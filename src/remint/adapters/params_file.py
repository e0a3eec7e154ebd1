"""``params.yaml`` changed by a program: one value at a time, every comment, quote, indent and blank line stays."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node

from remint.adapters.files import write_atomically
from remint.core.document import format_time, parse_time
from remint.errors import ConfigError

_OURS: Final = "remint"  # as config.SECTION: adapters know no config


def write_until(path: Path, *, sequence: int, arrived_at: str | None) -> None:
    """Set ``prepare.until``. The time is quoted, because DVC cannot read an unquoted one.

    The text is spliced at the values' places: loading and dumping again would lay the whole file out anew.
    """
    text = path.read_text(encoding="utf-8")
    when = None if arrived_at is None else format_time(parse_time(arrived_at, where="until.arrived_at"))
    prepare = _section(text, "prepare", path)
    if not isinstance(_find(text, f"{prepare}.until", path), MappingNode):
        text = _set(text, f"{prepare}.until", "{sequence: 0, arrived_at: null}", path)
    text = _set(text, f"{prepare}.until.sequence", str(sequence), path)
    text = _set(text, f"{prepare}.until.arrived_at", json.dumps(when), path)
    write_atomically(path, text)


def write_earlier(path: Path, champions: Sequence[Mapping[str, str]]) -> None:
    """Set ``train.earlier``: tag, commit and bundle of each champion of the past that competes, on one line."""
    text = path.read_text(encoding="utf-8")
    key = f"{_section(text, 'train', path)}.earlier"
    present = _find(text, key, path)
    if isinstance(present, CollectionNode) and not present.flow_style:
        raise ConfigError("is written by remint retrain, on one line", where=f"{path}: {key}", hint="earlier: []")
    write_atomically(path, _set(text, key, json.dumps([dict(c) for c in champions]), path))


def _section(text: str, name: str, path: Path) -> str:
    """The dotted key of one of Remint's sections: at the top, or within ``remint`` where the file is a team's own."""
    dotted = name if _find(text, _OURS, path) is None else f"{_OURS}.{name}"
    if not isinstance(_find(text, dotted, path), MappingNode):
        raise ConfigError(f"has no section {dotted!r}", where=str(path))
    return dotted


def _set(text: str, dotted: str, value: str, path: Path) -> str:
    """``text`` with ``value`` at the key: in its old value's place, else as the first of its section."""
    parent, _, key = dotted.rpartition(".")
    section = _find(text, parent, path)
    assert isinstance(section, MappingNode)
    for name, node in section.value:
        if name.value != key:
            continue
        start, end = node.start_mark.index, node.end_mark.index
        if start == end:  # an empty value's place is that of the next token; it belongs behind its colon
            start = end = text.index(":", name.end_mark.index) + 1
            value = f" {value}"
        return text[:start] + value + text[end:]
    start = section.start_mark.index
    if section.flow_style:
        return f"{text[: start + 1]}{key}: {value}, {text[start + 1 :]}"
    return f"{text[:start]}{key}: {value}\n{' ' * section.start_mark.column}{text[start:]}"


def _find(text: str, dotted: str, path: Path) -> Node | None:
    """The node at the key, with its place in ``text``; None where there is none."""
    try:
        node: Node | None = YAML(pure=True).compose(text)
    except YAMLError as error:
        raise ConfigError(f"not YAML: {str(error).splitlines()[0]}", where=str(path)) from None
    for key in dotted.split("."):
        if not isinstance(node, MappingNode):
            return None
        node = next((value for name, value in node.value if name.value == key), None)
    return node
