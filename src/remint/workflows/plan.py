"""``remint plan``: what a run would do, before it. For a decision: of ``remint retrain``, in a checkout of its own."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remint.adapters.dvc import WORKTREES, Dvc
from remint.adapters.dvc_status import stage_facts
from remint.adapters.git import Git
from remint.adapters.params_file import write_earlier, write_until
from remint.config import load_params
from remint.core.document import DocumentKind, unseal
from remint.core.run_plan import RunPlan, plan_run
from remint.workflows.earlier import earlier_champions


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """``command`` is what would carry it out. ``decision``: its id, and what it changes before the pipeline runs."""

    pipeline: str
    base: str  # the commit, or "the checkout"
    run: RunPlan
    command: str
    decision: str | None = None
    changes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "pipeline": self.pipeline,
            "base": self.base,
            "decision": self.decision,
            "changes": list(self.changes),
            "command": self.command,
            **self.run.to_json(),
        }


def plan_checkout(directory: Path) -> Plan:
    """Of this checkout as it is. Raises ConfigError where DVC cannot read the pipeline."""
    return Plan(
        pipeline=load_params(directory / "params.yaml").pipeline,
        base="the checkout",
        run=plan_run(stage_facts(directory), pulls=True),
        command="dvc repro --pull --allow-missing",
    )


def plan_decision(directory: Path, decision: Mapping[str, Any], *, where: str) -> Plan:
    """Of ``remint retrain --decision``: from HEAD, with the parameters changed as it would change them.

    Nothing is exported, fetched or run; the checkout in ``directory`` is not touched. Raises DocumentError for a
    decision of another pipeline, and ConfigError as ``retrain`` does.
    """
    params = load_params(directory / "params.yaml")
    decision = unseal(dict(decision), DocumentKind.DECISION, pipeline=params.pipeline, where=where)
    git = Git(directory)
    git.require_full_history()
    base = git.head()
    place = git.common_dir / WORKTREES / f"plan-{secrets.token_hex(4)}"
    try:
        tree = git.add_worktree(place, base)
        Dvc(tree.path).share_cache_with(Dvc(directory))
        params = load_params(tree.path / "params.yaml")
        changes, touched = [], {}
        until, known = decision["until"], params.prepare.until.sequence
        sequence = int(until["sequence"])
        if sequence > known:
            write_until(tree.path / "params.yaml", sequence=sequence, arrived_at=until.get("arrived_at"))
            touched[params.prepare.feedback] = f"is exported anew, with feedback up to {sequence} instead of {known}"
            changes.append(f"prepare.until.sequence: {known} -> {sequence}")
        earlier = earlier_champions(git, params.pipeline, count=params.train.earlier_champions)
        if earlier != params.train.earlier:
            write_earlier(tree.path / "params.yaml", [champion.model_dump() for champion in earlier])
            changes.append(f"train.earlier: {', '.join(champion.tag for champion in earlier) or 'none'}")
        run = plan_run(stage_facts(tree.path), touched=touched, pulls=False)
    finally:
        git.remove_worktree(place)
    return Plan(
        pipeline=params.pipeline,
        base=base,
        run=run,
        command="remint retrain --decision FILE",
        decision=str(decision["id"]),
        changes=tuple(changes),
    )
