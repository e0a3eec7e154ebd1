"""A pipeline as ``remint init`` makes it, with an origin, a DVC remote and a feedback store, all in one directory."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from remint.adapters.feedback_store import StoredPrediction, open_store
from remint.adapters.git import Git
from remint.adapters.registry import assign, register
from remint.core.document import DocumentKind, format_time, seal
from remint.core.feedback import Answer
from remint.core.release import Track

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
RUN_ID = "churn-20261121T115900Z-1a2b3c"
PLANS = ("basic", "plus", "pro")


@dataclass(frozen=True, slots=True)
class World:
    """Nothing in it names an absolute path, so a copy of ``root`` is a world of its own."""

    root: Path

    @property
    def repo(self) -> Path:
        """The pipeline's directory: not the top of its git repository, which is the harder case."""
        return self.root / "repo" / "models" / "churn"

    @property
    def store_url(self) -> str:
        return f"sqlite:///{self.root / 'store.db'}"

    def run(self, *command: str, at: Path | None = None) -> str:
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(
            command, cwd=at or self.repo, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def git(self, *arguments: str, at: Path | None = None) -> str:
        return self.run("git", *arguments, at=at)

    def decision(self, *, answer: str = "RETRAIN", until: int = 150, run_id: str = RUN_ID) -> dict[str, Any]:
        body = {
            "created_at": format_time(NOW),
            "run_id": run_id,
            "answer": answer,
            "summary": "Retrain: 150 new labels",
            "reasons": ["150 new labels"],
            "window": None,
            "source": "log",
            "champion": None,
            "until": {"sequence": until, "arrived_at": format_time(NOW - timedelta(minutes=1))},
            "rows": 150,
            "rules": [],
            "drift": [],
        }
        return seal(DocumentKind.DECISION, "churn", body)


def person(draw: random.Random, *, shifted: bool = False) -> tuple[dict[str, Any], str]:
    """A row and its label; where the world has shifted, older people stay."""
    age, plan, visits = round(draw.uniform(18, 80), 2), draw.choice(PLANS), draw.randrange(0, 40)
    leaves = (age < 45 if shifted else age > 45) and visits < 30
    return {"age": age, "plan": plan, "visits": float(visits)}, "yes" if leaves else "no"


def build(root: Path) -> World:
    """Initialised, trained once, committed, pushed, registered as champion; 150 answers in the store."""
    world = World(root)
    draw = random.Random(7)
    people = [person(draw) for _ in range(400)]
    lines = ["age,plan,visits,churned", *(f"{r['age']},{r['plan']},{int(r['visits'])},{label}" for r, label in people)]
    (root / "churn.csv").write_text("\n".join(lines) + "\n")
    world.git("init", "-q", "--bare", "origin.git", at=root)
    world.git("init", "-q", "repo", at=root)
    world.git("remote", "add", "origin", "../origin.git", at=root / "repo")
    world.repo.mkdir(parents=True)
    init = ("init", "--data", str(root / "churn.csv"), "--label", "churned", "--pipeline", "churn", "--commit")
    world.run(sys.executable, "-m", "remint", *init)
    world.run("dvc", "remote", "add", "--default", "shared", "../../../dvc-remote")
    world.run("dvc", "repro", "--quiet")
    world.run("dvc", "push", "--quiet")
    world.git("add", "--all")
    world.git("commit", "-q", "-m", "First model")
    world.git("push", "-q", "origin", "HEAD:refs/heads/main")
    git = Git(world.repo)
    register(git, "churn", "HEAD", now=NOW - timedelta(days=30))
    assign(git, "churn", "HEAD", now=NOW - timedelta(days=30))
    fill_store(world)
    return world


def fill_store(world: World, *, shifted: bool = True) -> None:
    """150 answers; where the world has not ``shifted``, like the data file."""
    draw = random.Random(11)
    with open_store(world.store_url, pipeline="churn", create=True) as store:
        store.register_bundle("sha256:b", reference="sha256:r", classes=["no", "yes"], at=NOW)
        with store.transaction() as transaction:
            for number in range(150):
                row, label = person(draw, shifted=shifted)
                predicted = draw.choice(["yes", "no"])
                at = NOW - timedelta(minutes=200 - number)
                transaction.add_predictions(
                    [
                        StoredPrediction(
                            prediction_id=f"p_{number}",
                            made_at=at,
                            bundle="sha256:b",
                            reference="sha256:r",
                            release="r1",
                            track=Track.STABLE,
                            unit=None,
                            counts=False,
                            subject=None,
                            row=row,
                            predicted=predicted,
                            confidence=0.8,
                        )
                    ]
                )
                answer = Answer.CORRECT if predicted == label else Answer.WRONG
                transaction.add_feedback(prediction_id=f"p_{number}", answer=answer, label=label, reporter=None, at=at)
