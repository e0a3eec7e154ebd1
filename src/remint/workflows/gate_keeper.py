"""Looks whether a recorded gate still speaks of what stands here now, and runs it anew where it does not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from remint.adapters.dvc import WORKTREES, Dvc, Progress
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.adapters.lock import hold
from remint.config import Params, load_params, parse_params
from remint.core.document import canonical_json, format_time
from remint.core.ledger import LedgerEntry, LedgerEvent, new_run_id
from remint.core.recheck import stale_because
from remint.core.verdict import Verdict
from remint.errors import ConfigError
from remint.workflows.gate import BUNDLE, gate_rules_id, run_gate
from remint.workflows.gate_context import champion_of_registry, recorded_acceptances
from remint.workflows.place import named_bundle
from remint.workflows.prepare import PREPARED
from remint.workflows.recorded_gate import GateRecord, champion_now, newest_gate, run_that_made
from remint.workflows.report import render_report
from remint.workflows.retrain_steps import earlier_gates

_NEEDED: Final = (BUNDLE.as_posix(), PREPARED.as_posix())


class Standing(StrEnum):
    """How the newest recorded gate stood when it was looked at."""

    CURRENT = "current"  # of this bundle, against this champion, by these rules
    STALE = "stale"  # it was not: the gate ran anew (with ``dry_run``: would have)
    CHAMPION = "champion"  # the bundle is the champion: there is nothing to judge
    NONE = "none"  # there is no open pull request


@dataclass(frozen=True, slots=True, kw_only=True)
class RecheckRequest:
    """``rev`` is whose bundle is looked at; ``run_url`` is what the commit status links to."""

    clock: Callable[[], datetime]
    rev: str = "HEAD"
    dry_run: bool = False
    run_url: str | None = None
    progress: Progress = field(default=lambda _: None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rechecked:
    """``gate`` is the document that holds now: recorded or made anew; None for a champion and for a stale dry run.

    ``blocked``: what stands in the way of an auto-merge that params.yaml asks for. The rest was done.
    """

    standing: Standing
    pipeline: str
    commit: str | None = None
    bundle: str | None = None
    run_id: str | None = None  # under which the gate stands in the ledger
    changed: tuple[str, ...] = ()  # why it was stale, in sentences
    gate: Mapping[str, Any] | None = None
    champion: Mapping[str, Any] | None = None  # {tag, version, bundle}
    number: int | None = None  # of the pull request
    url: str | None = None
    auto_merge: str | None = None
    blocked: ConfigError | None = None
    written: bool = False  # whether the pull request's title or text changed
    calls: tuple[dict[str, Any], ...] = ()

    @property
    def verdict(self) -> Verdict | None:
        return None if self.gate is None else Verdict(self.gate["verdict"])

    def to_json(self) -> dict[str, Any]:
        document = {
            "command": "recheck",
            "pipeline": self.pipeline,
            "standing": self.standing.value,
            "verdict": None if self.verdict is None else self.verdict.value,
            "changed": list(self.changed),
            "commit": self.commit,
            "bundle": self.bundle,
            "champion": None if self.champion is None else dict(self.champion),
            "gate": None if self.gate is None else self.gate["id"],
            "run_id": self.run_id,
            "number": self.number,
            "url": self.url,
            "auto_merge": self.auto_merge,
            "blocked": None if self.blocked is None else str(self.blocked),
        }
        return {**document, "calls": list(self.calls)} if self.calls else document


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """A commit's bundle, the gate that was recorded of it, and what changed since."""

    commit: str
    bundle: str
    params: Params  # by whose rules it is to be judged
    champion: Mapping[str, Any] | None
    record: GateRecord | None
    changed: tuple[str, ...]

    @property
    def is_champion(self) -> bool:
        return self.champion is not None and self.champion["bundle"] == self.bundle

    @property
    def standing(self) -> Standing:
        if self.is_champion:
            return Standing.CHAMPION
        return Standing.STALE if self.changed else Standing.CURRENT


class GateKeeper:
    """Looks at recorded gates of one pipeline and runs them anew, one at a time on this machine."""

    def __init__(self, directory: Path, git: Git, pipeline: str, request: RecheckRequest) -> None:
        self.directory = directory
        self.git = git
        self.pipeline = pipeline
        self.request = request
        self.ledger = Ledger(git, pipeline)
        self._hold = hold(git.common_dir / "remint" / f"recheck-{pipeline}.lock", what="a recheck")

    def __enter__(self) -> GateKeeper:
        self._descriptor = self._hold.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._hold.__exit__(*error)

    def params_at(self, commit: str) -> Params:
        """Raises ConfigError where the commit has none of this pipeline."""
        where = f"{commit[:12]}:params.yaml"
        text = self.git.show(commit, "params.yaml")
        if text is None:
            raise ConfigError("there is none", where=where)
        params = parse_params(text.decode(), where=where)
        if params.pipeline != self.pipeline:
            raise ConfigError(f"is of pipeline {params.pipeline!r}, not {self.pipeline!r}", where=where)
        return params

    def look(self, commit: str, params: Params, entries: Sequence[LedgerEntry]) -> Stand:
        bundle = named_bundle(self.git, commit, commit[:12])
        champion = champion_now(self.git, self.pipeline)
        record = newest_gate(self.ledger, entries, bundle)
        is_champion = champion is not None and champion["bundle"] == bundle
        changed: tuple[str, ...] = ()
        if not is_champion:
            changed = stale_because(
                None if record is None else record.gate,
                bundle=bundle,
                champion=champion,
                rules_id=gate_rules_id(params),
                accepted=[
                    entry.data
                    for entry in entries
                    if entry.event is LedgerEvent.ACCEPTANCE and entry.data.get("bundle") == bundle
                ],
            )
        return Stand(commit=commit, bundle=bundle, params=params, champion=champion, record=record, changed=changed)

    def judge(
        self, stand: Stand, entries: Sequence[LedgerEntry], *, shown: Mapping[str, Any] | None = None
    ) -> GateRecord:
        """Run the gate on the commit's artifacts and record it; ``shown``: number and url of its pull request."""
        git, progress = self.git, self.request.progress
        made_by = run_that_made(entries, git, stand.commit, stand.bundle)
        place = git.common_dir / WORKTREES / f"recheck-{self.pipeline}"
        progress(f"the gate runs anew: {'; '.join(stand.changed)}")
        try:
            tree = git.add_worktree(place, stand.commit)
            dvc = Dvc(tree.path, progress=progress, keep_open=[self._descriptor])
            dvc.share_cache_with(Dvc(self.directory))
            dvc.pull(*(path for path in dvc.outputs() if path.startswith(_NEEDED)))
            rules = {"gate": stand.params.gate, "evaluate": stand.params.evaluate}
            params = load_params(tree.path / "params.yaml").model_copy(update=rules)
            decision = self._attached(made_by, "decision.json")
            with champion_of_registry(params, self.directory, progress) as opponent:
                gate = run_gate(
                    params,
                    directory=tree.path,
                    champion_bundle=opponent.bundle,
                    champion=opponent.known,
                    champion_metrics=opponent.metrics,
                    acceptances=_still_rules(recorded_acceptances(self.ledger, stand.bundle), params),
                    now=self.request.clock(),
                    parents=[str(d["id"]) for d in (decision, stand.record and stand.record.gate) if d],
                )
            report = render_report(
                params=params,
                gate=gate,
                decision=decision,
                metadata=_file(tree.path / "artifacts" / "metadata.json"),
                summary=_file(tree.path / PREPARED / "summary.json"),
                changes=self._attached(made_by, "changes.json"),
                history=earlier_gates(self.ledger, run_id=made_by or ""),
            )
        finally:
            git.remove_worktree(place)
        return self._record(stand, gate, report, decision, made_by, shown or {})

    def _attached(self, run_id: str | None, name: str) -> dict[str, Any] | None:
        return None if run_id is None else read_document(self.ledger.attachment(run_id, name))

    def _record(
        self,
        stand: Stand,
        gate: Mapping[str, Any],
        report: str,
        decision: Mapping[str, Any] | None,
        made_by: str | None,
        shown: Mapping[str, Any],
    ) -> GateRecord:
        now = self.request.clock()
        run_id = new_run_id(self.pipeline, now, str(gate["id"]).removeprefix("sha256:"))
        data = {
            "gate": gate["id"],
            "verdict": gate["verdict"],
            "bundle": stand.bundle,
            "commit": stand.commit,
            "champion": gate["champion"],
            "changed": list(stand.changed),
            "run": made_by,
            "created_at": format_time(now),
            "summary": f"gate anew: {'; '.join(stand.changed)}",
            **shown,
        }
        attachments = {"gate.json": canonical_json(gate) + b"\n", "report.md": report.encode()}
        if decision is not None:
            attachments["decision.json"] = canonical_json(decision) + b"\n"
        entry = LedgerEntry(at=now, event=LedgerEvent.GATE, run_id=run_id, data=data)
        self.ledger.append(entry, attachments=attachments)
        return GateRecord(run_id=run_id, gate=gate, report=report)

    def result(self, stand: Stand, record: GateRecord | None, **more: Any) -> Rechecked:
        if stand.is_champion:
            record = None
        return Rechecked(
            standing=stand.standing,
            pipeline=self.pipeline,
            commit=stand.commit,
            bundle=stand.bundle,
            run_id=None if record is None else record.run_id,
            changed=stand.changed,
            gate=None if record is None else record.gate,
            champion=stand.champion,
            **more,
        )


def _still_rules(acceptances: Sequence[Mapping[str, Any]], params: Params) -> list[Mapping[str, Any]]:
    """Without those of rules that params.yaml has no more: the gate would refuse to accept what it never found."""
    metrics = {rule.metric.value for rule in params.gate.rules}
    return [a for a in acceptances if str(a["rule"]).partition(":")[2].partition(":")[0] in metrics]


def _file(path: Path) -> dict[str, Any] | None:
    return read_document(path.read_bytes()) if path.is_file() else None


def read_document(data: bytes | None) -> dict[str, Any] | None:
    """An attachment of the ledger that Remint wrote there; None where there is none."""
    return None if data is None else dict(json.loads(data))
