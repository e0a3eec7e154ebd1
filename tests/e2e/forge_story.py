"""``scripts/e2e forge``: from an empty forge to a merged retrain, by the workflows themselves. See its --help."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from forge_lab import Lab, LabError, dress, rewrite, runner, wait
from forge_pipelines import repository, two_pipelines
from forge_troubles import fork, killed_at_each_step, log_says, rerun
from forge_world import SERVICE_TOKEN, ForgeWorld

from binaries import ROOT
from gitea_server import gitea
from remint.adapters.frames import read_data_file
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.config import load_params
from remint.core.packing import pack
from remint.core.pull_request import status_context
from remint.core.rows import LabelledRows
from remint.demo import traffic
from remint.demo.files import Split, cut, example

PIPELINE: Final = "breast-cancer"
BRANCH: Final = f"remint/retrain/{PIPELINE}"
CHECK: Final = status_context(PIPELINE)
_NOTHING: Final = "\0"  # in no log
_EACH_MINUTE: Final = "* * * * *"
_ANSWER: Final = re.compile(r"Z ((?:RETRAIN|HOLD|NEED_LABELS|INVESTIGATE|INCONCLUSIVE)  .*)")
_LATENCY: Final = re.compile(r"(p95_latency_seconds:) [\d.e-]+")


@dataclass
class Story:
    lab: Lab
    world: ForgeWorld
    split: Split
    label: str
    started: float = field(default_factory=time.monotonic)
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(20260101))
    units: int = 0
    pins: dict[str, str] = field(default_factory=dict)
    pool: LabelledRows | None = None
    number: int = 0
    run: int = 0  # of retrain.yml, the newest

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        now = time.monotonic()
        print(f"{now - self.started:6.1f} s  {what} ({now - begun:.1f} s)", flush=True)

    # -- from nothing ------------------------------------------------------------------------------------------------

    def pipeline(self, *, schedule: bool, own_token: bool) -> None:
        world = self.world
        with self.step("stand-ins for actions/checkout and actions/setup-python pushed"):
            self.pins = self.lab.actions()
        with self.step("remint init, dvc repro, first gate"):
            world.clone(self.lab.server.clone_url)
            world.remint("init", "--data", str(self.split.history), "--label", self.label, "--pipeline", PIPELINE)
            # The address is a secret of the machines, as credentials would be: .dvc/config.local here, a secret there
            world.run("dvc", "config", "core.remote", "shared")
            world.run("dvc", "remote", "add", "--local", "shared", str(world.root / "dvc-remote"))
            rewrite(world.repo, self.pins)
            world.run("dvc", "repro", "--quiet")
            world.run("dvc", "push", "--quiet")
            world.remint("gate", "--no-champion", "--output", ".remint/first-gate.json")
        with self.step("variables, secrets, protection; pushed; first champion registered and assigned"):
            world.run("git", "add", "--all")
            world.run("git", "commit", "--quiet", "--message", "First model")
            world.run("git", "push", "--quiet", "origin", "HEAD:refs/heads/main")
            self.lab.server.settle()
            world.remint("registry", "register")
            world.remint("bundle", "export", "--rev", "HEAD", "--bundles", str(world.bundles))
            world.remint("canary", "init", "--bundle", self.bundle("HEAD"))
            world.run("git", "push", "--quiet", "origin", "HEAD", "--tags")
            self.lab.secret("REMINT_DVC_CONFIG", (world.repo / ".dvc" / "config.local").read_text())
            self.lab.secret("REMINT_SERVICE_TOKEN", SERVICE_TOKEN)
            if own_token:
                self.lab.secret("REMINT_TOKEN", self.lab.token("write:repository", "write:issue", "read:user"))
        params = load_params(world.repo / "params.yaml")
        task = params.task
        self.pool = read_data_file(
            self.split.pool, columns=task.columns, label=task.label, time_column=None, zone=None
        ).rows
        with self.step(f"remint serve and Prometheus; the model is {params.train.estimator}"):
            world.serve()
            if not world.start_prometheus():
                raise LabError("no Prometheus on this machine: scripts/setup fetches it")
            assert world.prometheus_url is not None
            self.lab.variable("REMINT_PROMETHEUS_URL", world.prometheus_url)
            self.lab.variable("REMINT_FEEDBACK_URL", "http://{}:{}".format(*world.address))
            self.lab.variable("REMINT_RELEASE", "state")
            self.lab.protect("main", CHECK)
        self.traffic(1_000)
        if schedule:
            with self.step("the schedule: each minute"):
                rewrite(world.repo, self.pins, cron=_EACH_MINUTE)
                world.commit("Look each minute", ".github")

    def traffic(self, count: int) -> None:
        """Users whose rows drift, each of whom says what was true."""
        with self.step(f"{count} predictions and as many answers of users"):
            assert self.pool is not None
            drawn = traffic.drawn(self.pool.table, self.pool.labels.tolist(), count, random=self.random)
            stream = traffic.drifted(drawn, self.pool.table, self.pool.labels.tolist(), random=self.random)
            names = [f"user-{self.units + i}" for i in range(stream.rows)]
            self.units += stream.rows
            self.world.feedback(self.world.predict(stream.table.to_rows(), units=names), stream.truth)
            self.world.wait_until_scraped()

    # -- what the workflows do ---------------------------------------------------------------------------------------

    def round(self, why: str, *, reason: str | None, verdict: str, scheduled: bool = False) -> dict[str, Any]:
        """watch.yml decides and starts retrain.yml; the pull request afterwards."""
        lab, after = self.lab, self.lab.newest()
        with self.step(f"watch.yml: {why}"):
            if not scheduled:
                lab.start("watch.yml", **({} if reason is None else {"reason": reason}))
            run = lab.finished("watch.yml", after=after)
            log = lab.log(run["id"])
            said = _ANSWER.search(log)
            print(f"          {run['html_url']}: {said[1] if said else 'no answer'}")
            assert said is not None, log[-4000:]
            assert said[1].startswith("RETRAIN"), said[1]
        with self.step("retrain.yml: dvc repro, gate, pull request"):
            run = lab.finished("retrain.yml", after=after)
            print(f"          {run['html_url']} {run['display_title']}")
        self.run = int(run["id"])
        return self.the_pull_request(verdict)

    def the_pull_request(self, verdict: str) -> dict[str, Any]:
        """One open pull request of our branch, one comment, one status; its number stays until it is merged."""
        lab = self.lab
        pulls = [pull for pull in lab.call("GET", "/pulls?state=open") if self._is_ours(pull)]
        assert len(pulls) == 1, f"{len(pulls)} pull requests of {BRANCH}"
        pull: dict[str, Any] = pulls[0]
        assert self.number in (0, pull["number"])
        self.number = int(pull["number"])
        status = lab.server.forge.status(pull["head"]["sha"], CHECK)
        assert status is not None, f"{pull['head']['sha']} has no status {CHECK}"
        print(f"          {pull['html_url']}: {CHECK} {status.state.value}: {status.description}")
        assert status.state.value == verdict, f"{status.state.value}, not {verdict}"
        comments = lab.call("GET", f"/issues/{self.number}/comments")
        ours = [c for c in comments if "remint:story" in c["body"]]
        assert len(ours) == 1, f"{len(ours)} comments of Remint's"
        return pull

    def _is_ours(self, pull: dict[str, Any]) -> bool:
        return pull["head"]["ref"] == BRANCH and pull["head"]["repo"]["full_name"] == self.lab.server.repository

    def merge(self) -> None:
        self.lab.call("POST", f"/pulls/{self.number}/merge", {"Do": "merge"})

    def gate_asks(self, seconds: float, message: str) -> None:
        with self.step(f"on main: {message}"):
            params = self.world.repo / "params.yaml"
            self.world.run("git", "pull", "--quiet", "--rebase", "origin", "main")
            params.write_text(_LATENCY.sub(rf"\g<1> {seconds}", params.read_text()))
            self.world.commit(message, "params.yaml")

    def bundle(self, rev: str) -> str:
        return str(json.loads(self.world.run("git", "show", f"{rev}:artifacts/manifest.json"))["id"])

    def tell(self, *, schedule: bool, own_token: bool, troubles: bool, screenshot: Path | None) -> None:
        self.pipeline(schedule=schedule, own_token=own_token)
        first = self.round("drift", reason=None, verdict="success", scheduled=schedule)
        if schedule:
            with self.step("the schedule: off again"):
                self.world.run("git", "pull", "--quiet", "--rebase", "origin", "main")
                rewrite(self.world.repo, self.pins, cron="17 */6 * * *")
                self.world.commit("Look every six hours", ".github")
        self.gate_asks(0.0000001, "The gate asks for what no model has")
        self.traffic(300)
        second = self.round("by hand", reason="new labels since this morning", verdict="failure")
        assert second["head"]["sha"] != first["head"]["sha"]
        with self.step("the failing gate blocks the merge, approved or not"):
            self.lab.server.approve(self.number, "ann")
            try:
                self.merge()
            except LabError as error:
                print(f"          {error}")
            else:
                raise LabError("it was merged with a failing gate")
            for review in self.lab.call("GET", f"/pulls/{self.number}/reviews"):
                self.lab.call("POST", f"/pulls/{self.number}/reviews/{review['id']}/dismissals", {"message": "no"})
        self.gate_asks(0.5, "The gate asks for what it asked for before")
        self.traffic(300)
        third = self.round("by hand", reason="the gate is mended", verdict="success")
        if screenshot is not None:
            with self.step(f"screenshot: {screenshot}"):
                shoot(third["html_url"], screenshot)
        with self.step("without an approval it is not merged; ann approves; merged"):
            with suppress(LabError):
                self.merge()
                raise AssertionError("it was merged without an approval")
            self.lab.server.approve(self.number, "ann")
            wait("the merge", self._merged, seconds=30)
            self.world.run("git", "pull", "--quiet", "--rebase", "origin", "main")
            assert self.bundle("HEAD") == self.bundle(third["head"]["sha"])
        self.released()
        if troubles:
            self.troubles()
            self.neighbours()
        print(third["html_url"])

    def released(self) -> None:
        """What follows the merge: the version's tag, and the canary in deploy/state.yaml."""
        with self.step("release.yml: version registered, canary started"):
            self.lab.finished("release.yml", after=self.run)
            self.world.run("git", "pull", "--quiet", "--rebase", "--tags", "origin", "main")
            versions = self.world.run("git", "tag", "--list", f"{PIPELINE}@v*").split()
            state = self.world.state()
            print(f"          {', '.join(versions)}; release {state.release}, canary {state.canary}")
            assert len(versions) == 2
            assert state.canary == self.bundle("HEAD")
        self.number = 0

    def troubles(self) -> None:
        """Killed at each step, twice at once, a fork, a token that may not."""
        lab = self.lab
        self.traffic(300)
        with self.step("retrain.yml killed at each step and run again"):
            self.run = killed_at_each_step(lab, self.begun, lambda line: print(f"          {line}", flush=True))
            first = self.the_pull_request("success")
        with self.step("/snooze in a comment: command.yml does it and answers"):
            self.snoozed()
        with self.step("the same decision twice at once"):
            self.twice_at_once()
            assert self.the_pull_request("success")["head"]["sha"] == first["head"]["sha"]
        with self.step("a fork's pull request, from a branch named as ours"):
            self.stranger()
            self.the_pull_request("success")
        with self.step("REMINT_TOKEN may only read: named, and mended"):
            self.powerless()
            self.the_pull_request("success")

    def neighbours(self) -> None:
        with self.step("two pipelines in one repository"):
            url = self.world.prometheus_url
            assert url is not None
            two_pipelines(
                self.lab.server,
                self.lab.root / "two",
                data=self.split.history,
                label=self.label,
                pins=self.pins,
                prometheus_url=url,
                say=lambda line: print(f"          {line}", flush=True),
            )

    def begun(self) -> int:
        """A retrain by hand, however it ends."""
        after = self.lab.newest()
        self.lab.start("watch.yml", reason="trouble is wanted")
        return int(self.lab.finished("retrain.yml", after=after, conclusion=None)["id"])

    def snoozed(self) -> None:
        """ann, who may write, wants no retrain; a stranger's word would be ignored."""
        lab, after = self.lab, self.lab.newest()
        lab.call("POST", f"/issues/{self.number}/comments", {"body": "/snooze 14d after the fair"}, user="ann")

        def answered() -> dict[str, Any] | None:
            # The run for Remint's own comments is skipped
            runs = [r for r in lab.runs("command.yml") if r["id"] > after and r["status"] == "completed"]
            return next((r for r in runs if r["conclusion"] in ("success", "failure")), None)

        run = wait("command.yml", answered, seconds=120)
        assert run["conclusion"] == "success", lab.log(run["id"], failed=True)[-4000:]
        texts = [c["body"] for c in lab.call("GET", f"/issues/{self.number}/comments")]
        (ours,) = [text for text in texts if "remint:story" in text]
        assert "/snooze" in ours, ours
        print("          " + next(line for line in ours.splitlines() if "/snooze" in line)[:160])

    def twice_at_once(self) -> None:
        lab, after = self.lab, self.lab.newest()
        title = str(lab.call("GET", f"/actions/runs/{self.run}")["display_title"])
        run_id = title.split()[-1]
        content = Ledger(Git(self.world.repo), PIPELINE).attachment(run_id, "decision.json")
        assert content is not None, run_id
        inputs = {"decision": pack(json.loads(content)), "directory": ".", "run": run_id}
        for _ in range(2):
            lab.start("retrain.yml", **inputs)
        wait("both runs", lambda: len([r for r in lab.runs("retrain.yml") if r["id"] > after]) == 2, seconds=30)
        ends = []
        for run in [r["id"] for r in lab.runs("retrain.yml") if r["id"] > after]:
            ended = lab.ended(run)
            print(f"          {ended['html_url']}: {ended['conclusion']}")
            ends.append(ended["conclusion"])
        # A forge may cancel the one that has not begun when a newer one of its concurrency group comes
        assert sorted(ends) in (["success", "success"], ["cancelled", "success"]), ends

    def stranger(self) -> None:
        """ann's fork: no secrets, no status of ours, and our own pull request stays what it was."""
        lab, after = self.lab, self.lab.newest()

        def change(at: Path) -> None:
            params = at / "params.yaml"
            text = params.read_text()
            assert "seed: 0" in text
            params.write_text(text.replace("pipeline: breast-cancer", "pipeline: breast-cancer  # $(touch pwned)`id`"))
            lock = at / "dvc.lock"
            lock.write_text(lock.read_text() + "\n")

        number = fork(lab, owner="ann", branch=BRANCH, base="main", change=change, at=lab.root / "fork")

        def checked() -> dict[str, Any] | None:
            done = [r for r in lab.runs("ci.yml") if r["id"] > after and r["status"] == "completed"]
            return next((r for r in done if r["conclusion"] != "cancelled"), None)

        run = wait("the fork's ci.yml", checked, seconds=90)
        print(
            f"          #{number}: ci.yml {run['conclusion']} {run['html_url']}: {log_says(lab, run['id'], '::error')}"
        )
        pull = lab.call("GET", f"/pulls/{number}")
        status = lab.server.forge.status(pull["head"]["sha"], CHECK)
        assert status is None, f"a fork got the status {CHECK}"
        log = lab.log(run["id"])
        secrets = [lab.secrets["REMINT_DVC_CONFIG"].splitlines()[-1].strip(), lab.secrets.get("REMINT_TOKEN", _NOTHING)]
        assert not any(secret in log for secret in secrets), "a secret is in a fork's log"
        assert lab.server.forge.pulls(BRANCH)[0].number == self.number, "a fork's pull request was taken for ours"
        lab.call("PATCH", f"/pulls/{number}", {"state": "closed"})

    def powerless(self) -> None:
        lab = self.lab
        able = lab.secrets.get("REMINT_TOKEN")
        lab.secret("REMINT_TOKEN", lab.token("read:repository", "read:issue", "read:user"))
        self.traffic(150)
        after = lab.newest()
        lab.start("watch.yml", reason="with a token that may only read")
        lab.finished("watch.yml", after=after)
        run = lab.finished("retrain.yml", after=after, conclusion="failure")
        print(f"          {log_says(lab, run['id'], 'remint: error')}")
        if able is None:
            lab.forget("REMINT_TOKEN")
        else:
            lab.secret("REMINT_TOKEN", able)
        assert rerun(lab, run["id"])["conclusion"] == "success"
        self.run = int(run["id"])

    def _merged(self) -> bool:
        with suppress(LabError):
            self.merge()
            return True
        return False


def shoot(url: str, file: Path) -> None:
    """The page as a person sees it who is not signed in, without what scripts draw: charts stay an empty box."""
    with tempfile.TemporaryDirectory() as profile:
        command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
        command += ["--window-size=1200,2400", f"--screenshot={file.resolve()}", url]
        subprocess.run(command, check=True, capture_output=True, timeout=120)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/e2e forge")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--no-schedule", action="store_true")
    parser.add_argument("--built-in-token", action="store_true")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--screenshot", type=Path)
    arguments = parser.parse_args()
    # Ended from outside it ends what it started, too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    root = Path(tempfile.mkdtemp(prefix="remint-e2e-"))
    prometheus = ROOT / ".cache" / "prometheus" / "x" / "usr" / "bin" / "prometheus"
    world = ForgeWorld(root=root, prometheus_binary=prometheus)
    (root / "cut").mkdir()
    begun = time.monotonic()
    with gitea(root) as server:
        lab = Lab(repository(server, PIPELINE), root)
        data, label = example(root / "cut")
        story = Story(lab, world, cut(data, label, root / "cut"), label, started=begun)
        dress(root / "gitea")
        print(f"{time.monotonic() - begun:6.1f} s  Gitea is ready", flush=True)
        try:
            with runner(lab):
                return _told(story, arguments)
        finally:
            world.close()
            if not arguments.keep:
                shutil.rmtree(root, ignore_errors=True)


def _told(story: Story, arguments: argparse.Namespace) -> int:
    problem = None
    try:
        story.tell(
            schedule=not arguments.no_schedule,
            own_token=not arguments.built_in_token,
            troubles=not arguments.short,
            screenshot=arguments.screenshot,
        )
    except Exception as error:  # noqa: BLE001 - whatever it was, the forge shall be there to be looked at
        problem = f"{type(error).__name__}: {error}"
        print(f"the story broke off: {problem}", file=sys.stderr, flush=True)
    if arguments.keep:
        print(f"{story.lab.page} as remint or ann, password only-for-a-test; in {story.lab.root}. Enter ends it.")
        with suppress(KeyboardInterrupt):
            if not sys.stdin.readline():
                time.sleep(86_400)
    return 0 if problem is None else 1


if __name__ == "__main__":
    sys.exit(main())
