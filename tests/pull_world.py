"""Two retrains of one code by growing data, made once, and what is asked of them: for tests of the pull request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from remint.adapters.forge import Forge
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.core.document import DocumentKind, canonical_json, seal
from remint.core.ledger import LedgerEntry, LedgerEvent, new_run_id
from remint.workflows.feedback import FeedbackSource, SourceKind
from remint.workflows.publish import PublishRequest, PublishResult, publish
from remint.workflows.recheck import Rechecked, RecheckRequest, recheck_pull_request
from remint.workflows.retrain import RetrainRequest, retrain
from retrain_world import RUN_ID, World

HEAD = "remint/retrain/churn"
CONTEXT = "remint/gate/churn"
LATER = datetime(2026, 11, 21, 12, 5, tzinfo=UTC)
SECOND_ID = "churn-20261122T115900Z-4d5e6f"
_ENVELOPE = ("schema", "id", "pipeline", "parents")


@dataclass(frozen=True)
class Trained:
    """``first`` and ``second`` are the commits of the two retrains."""

    world: World
    first: str
    second: str

    @classmethod
    def of(cls, world: World) -> Trained:
        """From the runs that ``train_twice`` left there."""
        runs = (world.repo / ".remint" / "runs" / run_id / "run.json" for run_id in (RUN_ID, SECOND_ID))
        first, second = (str(json.loads(run.read_text())["commit"]) for run in runs)
        return cls(world, first, second)

    def run(self, number: int) -> Path:
        return self.world.repo / ".remint" / "runs" / (RUN_ID, SECOND_ID)[number - 1]

    def gate(self, number: int) -> dict[str, Any]:
        return dict(json.loads((self.run(number) / "gate.json").read_text()))

    def shows(self, number: int) -> None:
        """Origin's branch is where that retrain left it."""
        commit = (self.first, self.second)[number - 1]
        for at in (self.world.root / "origin.git", self.world.repo):
            self.world.git("update-ref", f"refs/heads/{HEAD}", commit, at=at)

    def ledger(self) -> Ledger:
        return Ledger(Git(self.world.repo), "churn")

    def events(self, event: LedgerEvent) -> list[dict[str, Any]]:
        return [dict(entry.data) for entry in self.ledger().entries() if entry.event is event]

    def judged(
        self, number: int, verdict: str, *, failing: str = "gate", report: str | None = None, **facts: Any
    ) -> dict[str, Any]:
        """A gate of that retrain's bundle with another verdict, by its rules of the role ``failing``, recorded as a
        recheck would have.
        """
        known = self.gate(number)
        said = {role: verdict if role == failing else "pass" for role in ("gate", "guard")}
        findings = [{**f, "verdict": said.get(f["rule"].partition(":")[0], "pass")} for f in known["findings"]]
        body = {key: value for key, value in known.items() if key not in _ENVELOPE}
        gate = seal(DocumentKind.GATE, "churn", {**body, "findings": findings, "verdict": verdict, **facts})
        self.record(LedgerEvent.GATE, {"gate": gate, "report.md": report or f"## Judged {verdict}\n"})
        return gate

    def record(self, event: LedgerEvent, files: Mapping[str, Any] | None = None, **data: Any) -> None:
        attachments: dict[str, bytes] = {}
        if files is not None:
            gate = files["gate"]
            attachments = {"gate.json": canonical_json(gate), "report.md": str(files["report.md"]).encode()}
            data = {"bundle": gate["challenger"]["bundle"], "verdict": gate["verdict"], **data}
        entries = self.ledger().entries()
        run_id = new_run_id("churn", LATER, f"{len(entries):06x}")
        self.ledger().append(LedgerEntry(at=LATER, event=event, run_id=run_id, data=data), attachments=attachments)

    def on_main(self, **edits: tuple[str, str]) -> str:
        """A commit on origin's main that replaces text in params.yaml; returns it."""
        path = self.world.repo / "params.yaml"
        text = path.read_text()
        for before, after in edits.values():
            assert before in text, before
            text = text.replace(before, after)
        path.write_text(text)
        self.world.git("commit", "-q", "-a", "-m", "Another policy")
        self.world.git("push", "-q", "origin", "HEAD:refs/heads/main")
        return self.world.git("rev-parse", "HEAD")


def train(world: World, decision: dict[str, Any], forge: Forge | None = None) -> dict[str, Any]:
    source = FeedbackSource(kind=SourceKind.STORE, place=world.store_url)
    request = RetrainRequest(decision=decision, source=lambda: source, clock=lambda: LATER, forge=forge)
    return dict(retrain(world.repo, request).document)


def train_twice(world: World) -> None:
    first = train(world, world.decision(until=100))
    second = train(world, world.decision(until=150, run_id=SECOND_ID))
    assert first["bundle"] != second["bundle"]


def ask(two: Trained, forge: Forge, number: int = 1, **more: Any) -> PublishResult:
    return publish(two.world.repo, PublishRequest(run=two.run(number), forge=forge, clock=lambda: LATER, **more))


def look_again(two: Trained, forge: Forge, **more: Any) -> Rechecked:
    return recheck_pull_request(two.world.repo, RecheckRequest(clock=lambda: LATER, **more), forge)
