"""Claims about a DVC repository that `remint init` did not make: adopted as its README says, judged, retrained."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from remint.adapters.feedback_store import StoredPrediction, open_store
from remint.cli.main import main
from remint.core.document import DocumentKind, format_time, seal
from remint.core.feedback import Answer
from remint.core.release import Track
from remint.workflows.feedback import FeedbackSource, SourceKind
from remint.workflows.retrain import RetrainRequest, retrain
from retrain_world import NOW

EXAMPLE = Path(__file__).parents[2] / "examples" / "adopted"
ADOPT = re.findall(r"```sh\n(.*?)```", (EXAMPLE / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("nobodys_home")]


@dataclass(frozen=True)
class Workshop:
    repo: Path

    def run(self, script: str) -> str:
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        command = ["bash", "-euo", "pipefail", "-c", script]
        done = subprocess.run(command, cwd=self.repo, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
        return done.stdout.strip()


@pytest.fixture(scope="module")
def workshop(nobodys_home: None, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """As the README says, without any remote."""
    root = tmp_path_factory.mktemp("adopted")
    shutil.copytree(EXAMPLE, root / "repo", ignore=shutil.ignore_patterns("__pycache__"))
    made = Workshop(root / "repo")
    made.run(
        "git init -q -b main && dvc init -q && dvc add -q data/repairs.csv && dvc repro -q && "
        "git add --all && git commit -qm Ours && git tag theirs && cp model.pkl ../theirs.pkl"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made.repo)
        for command in re.split(r" && |\n(?! )", ADOPT.replace("\\\n", " ").strip()):
            words = shlex.split(command)
            if words[0] == "remint":  # in this process, which has the libraries loaded
                assert main(words[1:]) == 0, command
            else:
                made.run(command)
    made.run("git tag adopted HEAD~1")
    return made


def test_their_files_only_gain_lines(workshop: Workshop) -> None:
    changed = dict(
        reversed(line.split("\t")) for line in workshop.run("git diff --name-status theirs adopted").splitlines()
    )
    assert {path for path, how in changed.items() if how == "M"} == {
        ".dvcignore",
        ".gitignore",
        "data/.gitignore",  # by `dvc add`
        "dvc.yaml",
        "params.yaml",
        "requirements.txt",
    }
    assert not [path for path in changed if path.startswith(("src/", "data/repairs", "data/features", "model"))]
    counts = (line.split("\t") for line in workshop.run("git diff --numstat theirs adopted").splitlines())
    assert {taken for _, taken, _ in counts} <= {"0", "-"}
    assert workshop.run("git show HEAD:params.yaml").startswith((EXAMPLE / "params.yaml").read_text())
    assert "# reviewed in git" in workshop.run("git show HEAD:dvc.yaml")


def test_their_stages_give_what_they_gave(workshop: Workshop) -> None:
    before, after = (yaml.safe_load(workshop.run(f"git show {rev}:dvc.lock"))["stages"] for rev in ("theirs", "HEAD"))
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"remint-prepare", "remint-train", "remint-evaluate"}
    assert (workshop.repo / "model.pkl").read_bytes() == (workshop.repo.parent / "theirs.pkl").read_bytes()
    assert workshop.run("git diff --stat theirs HEAD -- metrics.json") == ""


def test_their_forest_is_in_the_bundle_and_their_numbers_are_beside_ours(workshop: Workshop) -> None:
    metadata = json.loads((workshop.repo / "artifacts/metadata.json").read_text())
    assert metadata["estimator"] == "src.model:make_forest"
    info = json.loads((workshop.repo / "artifacts/metrics.json").read_text())["info"]
    theirs = json.loads((workshop.repo / "metrics.json").read_text())
    assert info == {
        "metrics.json": {
            "rows": theirs["rows"],
            "holdout.accuracy": theirs["holdout"]["accuracy"],
            "holdout.f1.no": theirs["holdout"]["f1"]["no"],
            "holdout.f1.yes": theirs["holdout"]["f1"]["yes"],
        }
    }


def test_adopting_again_changes_nothing(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workshop.repo)
    arguments = ADOPT.partition("dvc repro")[0].replace("\\\n", " ").split()[1:]
    assert main([*arguments, "--json"]) == 0
    assert not [f for f in json.loads(capsys.readouterr().out)["files"] if f["action"] != "keep"]
    assert workshop.run("git status --porcelain") == ""
    # and without --adopt: the section says that it is adopted
    assert main([argument for argument in arguments if argument != "--adopt"]) == 0
    assert main([*arguments, "--pipeline", "another"]) == 2
    assert "pipeline is 'workshop' there, and you asked for 'another'" in capsys.readouterr().err


@pytest.mark.usefixtures("served_at_once")
def test_what_users_say_retrains_it_and_their_numbers_stand_at_the_gate(workshop: Workshop) -> None:
    fill_store(workshop)
    decision = seal(
        DocumentKind.DECISION,
        "workshop",
        {
            "created_at": format_time(NOW),
            "run_id": "workshop-20261121T115900Z-1a2b3c",
            "answer": "RETRAIN",
            "summary": "Retrain: 80 new labels",
            "reasons": ["80 new labels"],
            "window": None,
            "source": "log",
            "champion": None,
            "until": {"sequence": 80, "arrived_at": format_time(NOW)},
            "rows": 80,
            "rules": [],
            "drift": [],
        },
    )
    source = FeedbackSource(kind=SourceKind.STORE, place=f"sqlite:///{workshop.repo.parent / 'store.db'}")
    request = RetrainRequest(
        decision=decision, source=lambda: source, clock=lambda: NOW + timedelta(minutes=5), push=False
    )
    done = retrain(workshop.repo, request)
    assert done.document["outcome"] == "published", done.document
    branch = "remint/retrain/workshop"
    removed = workshop.run(f"git diff HEAD {branch} -- params.yaml").splitlines()
    assert [line for line in removed if line.startswith("-  ")] == ["-      sequence: 0", "-      arrived_at: null"]
    gate = json.loads((done.files / "gate.json").read_text())
    assert gate["judged_on"] == "fresh"
    assert gate["champion"]["tag"] == "workshop#stable#1"
    notes = [note for note in gate["notes"] if note.startswith("metrics.json: holdout.accuracy is")]
    assert len(notes) == 1
    assert "at the champion" in notes[0]
    changed = workshop.run(f"git diff --name-only HEAD {branch}").splitlines()
    assert not [path for path in changed if path.startswith(("src/", "metrics.json", "data/repairs"))]


def fill_store(workshop: Workshop) -> None:
    """80 rows that users corrected, like those of the data."""
    draw = random.Random(3)
    lines = (workshop.repo / "data/features.csv").read_text().splitlines()
    names = lines[0].split(",")
    address = f"sqlite:///{workshop.repo.parent / 'store.db'}"
    with open_store(address, pipeline="workshop", create=True) as store:
        store.register_bundle("sha256:b", reference="sha256:r", classes=["no", "yes"], at=NOW)
        with store.transaction() as transaction:
            for number, line in enumerate(draw.sample(lines[1:], 80)):
                *values, label = line.split(",")
                row = {
                    name: float(value) * draw.uniform(0.97, 1.03) for name, value in zip(names, values, strict=False)
                }
                at = NOW - timedelta(minutes=90 - number)
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
                            predicted="no",
                            confidence=0.8,
                        )
                    ]
                )
                answer = Answer.CORRECT if label == "no" else Answer.WRONG
                transaction.add_feedback(prediction_id=f"p_{number}", answer=answer, label=label, reporter=None, at=at)
