"""What a command is about to change in a file, as a unified diff that ``git apply`` takes."""

from __future__ import annotations

import difflib


def file_diff(path: str, before: bytes | None, after: bytes) -> str | None:
    """The unified diff of one file, ``before`` None where it is new; empty where nothing changes, None for no text.

    A carriage return is shown as it is: a file with Windows line ends stays one.
    """
    try:
        old, new = ("" if before is None else before.decode("utf-8")), after.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if "\0" in old or "\0" in new:
        return None
    name = f'"{path}"' if any(c in path for c in '"\t\n\\') else path
    head = f"diff --git a/{name} b/{name}\n" + ("new file mode 100644\n" if before is None else "")
    origin = "/dev/null" if before is None else f"a/{name}"
    lines = list(difflib.unified_diff(_lines(old), _lines(new), origin, f"b/{name}", n=3))
    if not lines:
        return "" if before is not None else head
    return head + "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _lines(text: str) -> list[str]:
    """Split at line feeds alone: ``splitlines`` would also cut at characters that git takes for content."""
    lines = text.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
