"""Tags are records: no workflow waits for one, as a forge tells nobody of a tag that its built-in token pushed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
HOMES = (ROOT / ".github", ROOT / "src" / "remint" / "templates" / "github")
CALLERS = HOMES[1].with_name("github-reusable")
WORKFLOWS = sorted(path for home in (*HOMES, CALLERS) for path in (home / "workflows").glob("*.yml"))


def events(path: Path) -> dict[str, Any]:
    declared = yaml.load(path.read_text(), yaml.BaseLoader)["on"]
    return (
        declared if isinstance(declared, dict) else dict.fromkeys([declared] if isinstance(declared, str) else declared)
    )


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: f"{p.parts[-3]}-{p.stem}")
def test_no_workflow_starts_by_a_tag(path: Path) -> None:
    declared = events(path)
    assert not {"create", "delete", "release", "registry_package"} & set(declared), "which are events of tags, too"
    push = declared.get("push", {"branches": ["main"]})
    assert isinstance(push, dict)
    assert push.get("branches"), "a push without branches would also mean tags"
    assert not {"tags", "tags-ignore"} & set(push)
    assert "github.ref_type == 'tag'" not in path.read_text()


@pytest.mark.parametrize("home", HOMES, ids=["own", "template"])
def test_a_release_starts_by_a_merge_or_by_dispatch_and_registers_in_the_same_run(home: Path) -> None:
    path = home / "workflows" / "release.yml"
    assert set(events(path)) <= {"push", "workflow_dispatch", "workflow_call"}
    assert "workflow_dispatch" in events(path)
    assert events(path)["push"] == {"branches": ["main"], "paths": ["**/dvc.lock"]}
    (job,) = [j for name, j in yaml.load(path.read_text(), yaml.BaseLoader)["jobs"].items() if name == "release"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    planned = commands.index("remint release --plan --output plan.json")
    released = commands.index("remint release --output release.json")  # the version's tag
    assert any("remint bundle export" in command for command in commands[planned:released]), "in the same run"
    assert not any("--tags" in command or "--follow-tags" in command for command in commands)
