"""The acts. Each one makes traffic, runs the product's own commands, and holds their answer against what should be."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from remint.adapters.frames import read_data_file
from remint.config import Params, Task, load_params
from remint.core.document import format_time
from remint.core.rows import LabelledRows
from remint.demo import traffic
from remint.demo.act import Act, Outcome
from remint.demo.files import Split, swap_labels
from remint.demo.traffic import Traffic
from remint.demo.world import Answer, World

_HEALTHY_ROWS = 600
_BROKEN_ROWS = 400
_DRIFT_ROWS = 1_000
_CANARY_UNITS = 120  # users of the canary in one round: a step asks for 100
_CANARY_ROWS = 600  # users in one round, at the least
_CANARY_ROUNDS = 25
_QUIET_LABELS = 0.25  # new labels for each training row in a quiet act: fewer than the volume rule waits for
_POISON_ROWS = 3_000


@dataclass(slots=True)
class Story:
    """The acts in order, sharing one world. ``say`` shows progress."""

    world: World
    split: Split
    label: str
    say: Callable[[str], None]
    done: Callable[[Act], None]
    time_column: str | None = None
    zone: str | None = None
    acts: list[Act] = field(default_factory=list)
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(20260101))
    params: Params | None = None
    pool: LabelledRows | None = None
    future: LabelledRows | None = None
    units: int = 0
    learnable: bool = True  # False where no model of this file beats its floors
    _drift: Callable[[int], Traffic] | None = None
    _decision: dict[str, Any] = field(default_factory=dict)

    # --- the acts

    def champion(self) -> Act:
        act = Act(title="Champion", expected="trained, passed its floors, serving")
        world = self.world
        init = ["init", "--data", str(self.split.history), "--label", self.label]
        if self.time_column is not None:
            init += ["--time", self.time_column, "--zone", self.zone or "UTC"]
        self.say("remint init")
        world.remint(*init)
        world.run("dvc", "remote", "add", "--default", "demo", str(world.root / "dvc-remote"))
        self.params = load_params(world.repo / "params.yaml")
        self.pool = self._read(self.split.pool)
        self.future = None if self.split.future is None else self._read(self.split.future)
        self.say("dvc repro")
        world.run("dvc", "repro")
        world.run("dvc", "push", "--quiet")
        world.commit("First model")
        self.say("remint gate")
        gate = world.remint_json("gate", "--no-champion", "--output", ".remint/first-gate.json")
        act.documents["gate"] = gate
        metrics = json.loads((world.repo / "artifacts" / "metrics.json").read_text())
        act.rows = f"{self._training_rows()} to train, {self.pool.rows} kept apart as traffic"
        act.margin = "; ".join(f["reason"] for f in gate["findings"] if f["rule"].startswith("gate:"))[:160]
        act.notes.append(f"accuracy on rows it has not seen: {metrics['test']['accuracy']:.3f}")
        if gate["verdict"] != "pass":
            self.learnable = False
            act.end(f"gate: {gate['verdict']}", good=False)
            failed = [f["reason"] for f in gate["findings"] if f["verdict"] != "pass"]
            act.notes.append("no model of this file beats the floor, so it is served here only to go on: " + failed[0])
        labels, counts = np.unique(self.pool.labels.astype(str), return_counts=True)
        majority = counts.max() / counts.sum()
        if metrics["test"]["accuracy"] <= majority:
            self.learnable = False
            act.notes.append(
                f"no better than to say {labels[counts.argmax()]!r} always, which is right for {majority:.3f}"
            )
        world.remint("registry", "register")
        self._export()
        world.remint("canary", "init", "--bundle", self._bundle())
        world.run("git", "push", "--quiet", "origin", "HEAD", "--tags")
        self.say("remint serve")
        world.serve()
        if not world.start_prometheus():
            act.notes.append("no Prometheus on this machine: the checks read the prediction log instead (source: log)")
        if gate["verdict"] == "pass":
            act.end(f"serving {self._bundle()[7:19]}", good=True)
        return act

    def healthy(self) -> Act:
        act = Act(title="Healthy traffic", expected="HOLD")
        assert self.pool is not None
        stream = traffic.once(self.pool.table, self.pool.labels.tolist(), _HEALTHY_ROWS, random=self.random)
        self._check(act, stream, labels=int(_QUIET_LABELS * self._training_rows()))
        needed = self._params().check.min_rows
        if act.outcome is Outcome.WRONG and stream.rows < needed:
            act.outcome = Outcome.NOT_SHOWN
            act.notes.append(f"the file leaves {stream.rows} unseen rows; no answer is given on fewer than {needed}")
        return act

    def broken_column(self) -> Act:
        act = Act(title="A column breaks", expected="INVESTIGATE")
        stream, name = traffic.broken(self._ordinary(_BROKEN_ROWS))
        self._check(act, stream, labels=0)
        act.notes.append(f"column '{name}' arrives empty in every row")
        return act

    def drift(self) -> Act:
        act = Act(title="Drift begins", expected="RETRAIN")
        if self.future is not None:
            future = self.future
            self._drift = lambda n: traffic.drawn(future.table, future.labels.tolist(), n, random=self.random)
            # asked without being recorded: no cooldown follows, and labels alone must not make the answer
            self._check(act, self._drift(_HEALTHY_ROWS), labels=0, dry_run=True)
            if any(rule["kind"] == "drift" and rule["fired"] for rule in act.documents["decision"]["rules"]):
                act.notes = ["the file's own drift: its later rows against a model of its earlier ones"]
            else:
                act.notes = ["the file's own later rows do not drift, so drift is injected"]
                self._drift = None
        if self._drift is None:
            pool = self.pool
            assert pool is not None
            self._drift = lambda n: traffic.drifted(
                self._ordinary(n), pool.table, pool.labels.tolist(), random=self.random
            )
        self._check(act, self._drift(_DRIFT_ROWS), labels=_DRIFT_ROWS)
        self._decision = act.documents["decision"]
        return act

    def challenger(self) -> Act:
        act = Act(title="Challenger", expected="trained on the feedback, gate passed")
        world = self.world
        run = self._retrain(act, self._decision)
        if act.documents["gate"]["verdict"] == "fail":
            failed = [f["rule"] for f in act.documents["gate"]["findings"] if f["verdict"] == "fail"]
            act.notes.append(f"the gate failed on {', '.join(failed)}")
            if all(rule.startswith("guard:") for rule in failed):
                act.notes.append("the demo plays the reviewer: the world has changed, the old golden rows may fall")
                self._accept(act, failed, run)
        verdict = act.documents["gate"]["verdict"]
        act.end(f"gate: {verdict}", good=verdict == "pass")
        if verdict == "pass":
            self.say("merge")
            world.run("git", "fetch", "--quiet", "origin")
            world.run("git", "merge", "--quiet", "--no-ff", "-m", "Merge the retrained model", self._branch())
            world.run("dvc", "checkout", "--quiet")
            world.run("git", "push", "--quiet", "origin", "HEAD")
            world.remint("registry", "register")
            self._export()
        return act

    def canary(self) -> Act:
        act = Act(title="Canary of the challenger", expected="PROMOTE")
        if self._bundle() == self.world.state().stable:
            act.end("not released: its gate did not pass", good=False)
            return act
        self._canary(act, self._bundle(), wanted="PROMOTE")
        return act

    def poison(self) -> Act:
        act = Act(title="Poisoned feedback", expected="the lies do not get through")
        world = self.world
        before = world.state().stable
        kept = self._curated_rows()
        stream = self._today(_POISON_ROWS)
        lies = traffic.poisoned(stream.truth, self._classes())
        self.say(f"{stream.rows} wrong labels")
        told = world.feedback(self._send(stream), lies)
        world.wait_until_scraped()
        decision = self._ask(["--retrain", "--reason", "somebody says that accuracy collapsed"])
        act.documents["decision"] = decision
        act.rows = f"{told} predictions with wrong labels on purpose"
        through = max(0, self._curated_rows() - kept)
        act.notes.append(f"curation put {told - through} of them aside: contradictions, duplicates, golden rows")
        self._retrain(act, decision)
        gate = act.documents["gate"]
        act.margin = "; ".join(f["reason"] for f in gate["findings"] if f["verdict"] == "fail")
        stays = world.state().stable == before
        if gate["verdict"] != "pass":
            act.end(f"gate: {gate['verdict']}, the champion stays", good=stays)
        else:
            act.end(f"{told - through} of {told} quarantined, the rest changed nothing", good=through <= 0.2 * told)
        return act

    def _curated_rows(self) -> int:
        """How many rows the product would train on or compare with today."""
        counted = self.world.remint_json("feedback", "export", "--dry-run")
        return int(counted["rows"])

    def bad_canary(self) -> Act:
        act = Act(title="A bad canary", expected="ROLLBACK")
        act.notes.append("a hotfix swaps the labels of the training data, and somebody releases it without its gate")
        world = self.world
        task = self._task()
        world.run("git", "checkout", "--quiet", "-b", "hotfix")
        data = world.repo / task.data
        swap_labels(data, task.label, self._classes())
        params = world.repo / "params.yaml"
        params.write_text(re.sub(r"(?m)^(    sequence:) \d+", r"\1 0", params.read_text()))
        self.say("dvc repro of the hotfix")
        world.run("dvc", "add", "--quiet", task.data)
        world.run("dvc", "repro")
        world.run("dvc", "push", "--quiet")
        world.commit("Hotfix")
        world.remint("registry", "register")
        bundle = self._bundle()
        world.run("git", "checkout", "--quiet", "main")
        world.run("dvc", "checkout", "--quiet")
        world.remint("bundle", "export", "--rev", "hotfix", "--bundles", str(world.bundles))
        self._canary(act, bundle, wanted="ROLLBACK")
        return act

    def _about_quality(self) -> tuple[Callable[[], Act], ...]:
        """The acts that compare how good models are; the others ask about data."""
        return (self.champion, self.challenger, self.canary, self.bad_canary)

    # --- how they do it

    def _check(self, act: Act, stream: Traffic, *, labels: int, dry_run: bool = False) -> None:
        since = self._now()
        self.say(f"{stream.rows} predictions")
        answers = self._send(stream)
        heard = self.world.feedback(answers[:labels], stream.truth[:labels])
        self.world.wait_until_scraped()
        self.say("remint check")
        decision = self._ask(["--since", since, *(["--dry-run"] if dry_run else [])])
        act.documents["decision"] = decision
        scores = decision["drift"]
        act.rows = f"{stream.made}; {heard} labels"
        seen = [s["smallest_detectable_sigmas"] for s in scores if s["smallest_detectable_sigmas"] is not None]
        if scores:
            strongest = max(scores, key=lambda s: s["sigmas"])
            act.margin = f"strongest: {strongest['field']} {strongest['sigmas']:.2f} sigmas"
            if seen:
                act.margin += f"; a shift of {min(seen):.2f} sigmas would have been found"
        act.notes.append(decision["summary"])
        act.end(decision["answer"], good=decision["answer"] == act.expected)

    def _ask(self, extra: Sequence[str]) -> dict[str, Any]:
        source = "prometheus" if self.world.prometheus_url else "log"
        return self.world.remint_json("check", "--source", source, "--output", ".remint/decision.json", *extra)

    def _retrain(self, act: Act, decision: dict[str, Any]) -> dict[str, Any]:
        world = self.world
        path = world.repo / ".remint" / f"{decision['run_id']}.json"
        path.write_text(json.dumps(decision))
        self.say("remint retrain")
        run = world.remint_json("retrain", "--decision", str(path), accept=(0, 11, 13))
        folder = world.repo / ".remint" / "runs" / decision["run_id"]
        act.documents["gate"] = json.loads((folder / "gate.json").read_text())
        act.report = (folder / "report.md").read_text()
        act.rows = act.rows or f"{act.documents['gate']['challenger']['training_rows']} to train"
        act.margin = "; ".join(f["reason"] for f in act.documents["gate"]["findings"] if f["rule"].startswith("gate:"))
        world.remint(
            "report",
            "--gate",
            str(folder / "gate.json"),
            "--decision",
            str(path),
            "--html",
            str(folder / "report.html"),
        )
        act.documents["report_html"] = str(folder / "report.html")
        return run

    def _accept(self, act: Act, rules: Sequence[str], run: dict[str, Any]) -> None:
        """A reviewer's recorded acceptance, in a checkout of the branch."""
        world = self.world
        checkout = world.root / f"review-{run['run_id']}"
        world.run("git", "worktree", "add", "--quiet", "--detach", str(checkout), self._branch())
        world.run("dvc", "cache", "dir", "--local", str(world.repo / ".dvc" / "cache"), at=checkout)
        world.run("dvc", "checkout", "--quiet", at=checkout)
        command = ["remint", "-C", str(checkout), "gate", "--json", "--by", "reviewer"]
        for rule in rules:
            command += ["--accept", rule, "--reason", "the world has changed; the golden set is of the old one"]
        act.documents["gate"] = json.loads(world.run(*command))
        world.run("git", "worktree", "remove", "--force", str(checkout))

    def _canary(self, act: Act, bundle: str, *, wanted: str) -> None:
        world = self.world
        world.remint("canary", "start", "--bundle", bundle)
        self._settle()
        stream_rows = 0
        answer = "HOLD"
        steps: list[str] = []
        verdict: dict[str, Any] = {}
        for _ in range(_CANARY_ROUNDS):
            state = world.state()
            share = f"{state.steps[state.step]:.0%}"
            stream = self._today(max(_CANARY_ROWS, int(_CANARY_UNITS / state.steps[state.step])))
            self.say(f"canary at {share}, {stream.rows} users")
            world.feedback(self._send(stream), stream.truth)
            stream_rows += stream.rows
            world.wait_until_scraped()
            verdict = world.remint_json("canary", "step")
            answer = verdict["answer"]
            self._settle()
            if not steps or steps[-1] != f"{share} {answer}":
                steps.append(f"{share} {answer}")
            if answer in {"PROMOTE", "ROLLBACK"}:
                break
        act.documents["verdict"] = verdict
        act.rows = f"{stream_rows} users, one request each, with feedback"
        act.margin = "; ".join(f["reason"] for f in verdict["findings"])[:200]
        act.notes.append(" -> ".join(steps))
        act.end(answer, good=answer == wanted)
        world.run("git", "push", "--quiet", "origin", "HEAD", "--tags")
        self._settle()

    def _ordinary(self, count: int) -> Traffic:
        assert self.pool is not None
        return traffic.drawn(self.pool.table, self.pool.labels.tolist(), count, random=self.random)

    def _today(self, count: int) -> Traffic:
        """Traffic as it is since the drift began."""
        return self._drift(count) if self._drift is not None else self._ordinary(count)

    def _send(self, stream: Traffic) -> list[Answer | None]:
        names = [f"user-{self.units + i}" for i in range(stream.rows)]
        self.units += stream.rows
        return self.world.predict(stream.table.to_rows(), units=names)

    def _export(self) -> None:
        self.world.remint("bundle", "export", "--rev", "HEAD", "--bundles", str(self.world.bundles))

    def _params(self) -> Params:
        assert self.params is not None
        return self.params

    def _task(self) -> Task:
        return self._params().task

    def _read(self, path: Path) -> LabelledRows:
        task = self._task()
        return read_data_file(
            path,
            columns=task.columns,
            label=task.label,
            time_column=task.time.column if task.time else None,
            zone=task.time.zone if task.time else None,
        ).rows

    def _bundle(self) -> str:
        manifest = json.loads((self.world.repo / "artifacts" / "manifest.json").read_text())
        return str(manifest["id"])

    def _metadata(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.world.repo / "artifacts" / "metadata.json").read_text())
        return found

    def _classes(self) -> list[str]:
        return list(self._metadata()["classes"])

    def _training_rows(self) -> int:
        return int(self._metadata()["training_rows"])

    def _branch(self) -> str:
        return f"remint/retrain/{self._params().pipeline}"

    def _settle(self) -> None:
        state = self.world.state()
        self.world.wait_until_serving(stable=state.stable, canary=state.canary)

    def _now(self) -> str:
        return format_time(datetime.now(UTC))

    def tell(self) -> None:
        """All acts; the first that breaks the story's thread ends it."""
        for number, play in enumerate(
            (
                self.champion,
                self.healthy,
                self.broken_column,
                self.drift,
                self.challenger,
                self.canary,
                self.poison,
                self.bad_canary,
            ),
            start=1,
        ):
            started = time.monotonic()
            act = play()
            act.seconds = time.monotonic() - started
            if act.outcome is Outcome.WRONG and not self.learnable and play in self._about_quality():
                act.outcome = Outcome.NOT_SHOWN
                act.notes.append("needs a model that knows something, and no model of this file does")
            act.title = f"{number}. {act.title}"
            self.acts.append(act)
            self.done(act)


def clean(world: World) -> None:
    world.close()
    shutil.rmtree(world.root, ignore_errors=True)
