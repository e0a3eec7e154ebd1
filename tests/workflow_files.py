"""What ``remint init`` copies into a repository: Remint's own workflows without what only a caller needs.

``python tests/workflow_files.py`` writes the templates anew; a test holds them to it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
OWN: Final = ROOT / ".github" / "workflows"
TEMPLATES: Final = ROOT / "src" / "remint" / "templates" / "github" / "workflows"
NAMES: Final = ("canary", "command", "promote", "release", "report", "retrain", "watch")
_CALL: Final = re.compile(r"^  workflow_call:\n(?:    .*\n)+", re.MULTILINE)
_CHECKOUT: Final = re.compile(
    r"^      - uses: actions/checkout@.*\n        with: # Remint's actions:.*\n(?:          .*\n)+", re.M
)
_HEAD_ENDS: Final = "\npermissions: {}\n"


def as_template(own: str) -> str:
    """A copied workflow is called by nobody, and the actions that it uses lie beside it.

    A Gitea ignores every file whose ``workflow_call`` has inputs: nothing but a dispatch would start it.
    """
    return _CHECKOUT.sub("", _CALL.sub("", own)).replace("./.git/remint/.github/actions/", "./.github/actions/")


def template(name: str) -> str:
    """What the template file should be. ``ci`` has a head of its own, and the jobs that callers get as gate.yml."""
    if name != "ci":
        return as_template((OWN / f"{name}.yml").read_text())
    head, _, _ = as_template((TEMPLATES / "ci.yml").read_text()).partition(_HEAD_ENDS)
    _, ends, jobs = as_template((OWN / "gate.yml").read_text()).partition(_HEAD_ENDS)
    return head + ends + jobs


if __name__ == "__main__":
    for name in (*NAMES, "ci"):
        (TEMPLATES / f"{name}.yml").write_text(template(name))
