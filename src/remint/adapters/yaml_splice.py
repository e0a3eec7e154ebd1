"""A team's own YAML file with something of ours added: every byte that they wrote stays where it is."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from remint.errors import UsageError

_STAGES: Final = "stages"
_INDENT: Final = 2  # of a mapping that is not there yet


def with_stages(text: str, stages: Mapping[str, Any], *, comment: str, where: str) -> str:
    """``dvc.yaml`` with ``stages`` behind those that it has; stages that it has already stay as they are.

    Raises UsageError where the file is laid out so that nothing can be put in without laying it out anew.
    """
    before = read_mapping(text, where=where)
    known = before.get(_STAGES) or {}
    if not isinstance(known, dict):
        raise UsageError("stages is not a mapping", where=where)
    missing = {name: stage for name, stage in stages.items() if name not in known}
    if not missing:
        return text
    root = _compose(text, where)
    section = None if root is None else next((v for k, v in root.value if k.value == _STAGES), None)
    if isinstance(section, MappingNode) and section.value:
        if section.flow_style:
            raise UsageError("stages stand on one line", where=where, hint="write them as a block, one key a line")
        indent, at = section.value[0][0].start_mark.column, _end_of_line(text, _last_content(section))
        block = _dump(missing, comment, indent)
        changed = text[:at] + _joint(text[:at]) + _ends(block, text) + text[at:]
    elif _STAGES in before:
        raise UsageError("has an empty 'stages'", where=where, hint="take the key away, then run it again")
    else:
        block = f"{_STAGES}:\n" + _dump(missing, comment, _INDENT)
        changed = text + _joint(text) + _ends(block, text)
    return _checked(changed, {**before, _STAGES: {**known, **missing}}, where)


def with_section(text: str, name: str, section: str, *, where: str) -> str:
    """A mapping file with the key ``name`` at its end, ``section`` being its lines (YAML, not indented).

    Raises UsageError where the file has the key, or cannot be appended to.
    """
    before = read_mapping(text, where=where)
    if name in before:
        raise UsageError(f"has a key {name!r} already", where=where)
    block = f"{name}:\n" + textwrap.indent(section, " " * _INDENT)
    changed = text + _joint(text) + _ends(block, text)
    return _checked(changed, {**before, name: read_mapping(section, where=where)}, where)


def read_mapping(text: str, *, where: str) -> dict[str, Any]:
    """The mapping of a YAML file as DVC reads it (YAML 1.2), empty for an empty file. Raises UsageError for others."""
    try:
        value = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise UsageError(f"not YAML: {str(error).splitlines()[0]}", where=where) from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UsageError("is not a mapping", where=where)
    return value


def _compose(text: str, where: str) -> MappingNode | None:
    node = YAML(pure=True).compose(text)
    if node is None:
        return None
    if not isinstance(node, MappingNode) or node.flow_style:
        raise UsageError("is written on one line", where=where, hint="write it as a block, one key a line")
    return node


def _last_content(section: Node) -> int:
    return max(int(node.end_mark.index) for node in _leaves(section) if node.end_mark.index > node.start_mark.index)


def _leaves(node: Node) -> Iterator[Node]:
    """Scalars, and collections on one line, whose end marks are where they end; that of a block is the next token."""
    if isinstance(node, ScalarNode) or (isinstance(node, CollectionNode) and node.flow_style):
        yield node
    elif isinstance(node, MappingNode):
        for key, value in node.value:
            yield key
            yield from _leaves(value)
    elif isinstance(node, SequenceNode):
        for item in node.value:
            yield from _leaves(item)


def _end_of_line(text: str, index: int) -> int:
    """Behind the line that the last content before ``index`` stands on, with the comment that follows it there."""
    last = len(text[:index].rstrip())
    found = text.find("\n", last)
    return len(text) if found < 0 else found + 1


def _joint(before: str) -> str:
    """An empty line between their last line and our first, unless one is there; nothing in an empty file."""
    if not before.strip():
        return ""
    have = before[len(before.rstrip()) :].count("\n")
    return _newline(before) * max(0, 2 - have)


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _ends(block: str, text: str) -> str:
    return block.replace("\n", _newline(text))


def _dump(stages: Mapping[str, Any], comment: str, indent: int) -> str:
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 10**6
    buffer = io.StringIO()
    yaml.dump(dict(stages), buffer)
    lines = "".join(f"# {line}\n" for line in comment.splitlines())
    return textwrap.indent(lines + buffer.getvalue(), " " * indent)


def _checked(changed: str, expected: Mapping[str, Any], where: str) -> str:
    """What is about to be written is read back: nothing of theirs may have changed its meaning."""
    try:
        found = read_mapping(changed, where=where)
    except UsageError:
        found = {}
    if found != expected:
        raise UsageError("cannot be added to without laying it out anew", where=where, hint="add it by hand")
    return changed
