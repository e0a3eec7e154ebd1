"""Plots of a report: files on a branch of the repository itself, shown by the commit, only where a forge can."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from remint.adapters.forge import Forge, ForgeKind, Repository
from remint.adapters.git import Git
from remint.core.report import markdown
from remint.errors import ServiceError
from remint.workflows.report import read_evidence
from remint.workflows.report_images import BRANCH, publish_images, raw_address
from report_examples import decision, gate

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
URL = "https://github.com/org/shop"
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Pointing:
    """As much of a forge as says where its files are."""

    kind: ForgeKind = ForgeKind.GITHUB
    url: str = URL

    def repository(self) -> Repository:
        if not self.url:
            raise ServiceError("down", where="forge")
        return Repository(name="org/shop", url=self.url, default_branch="main")


def forge(kind: ForgeKind = ForgeKind.GITHUB, url: str = URL) -> Forge:
    return cast("Forge", Pointing(kind, url))


@pytest.fixture
def git(tmp_path: Path) -> Git:
    subprocess.run(["git", "init", "-q", str(tmp_path / "repo")], check=True)
    git = Git(tmp_path / "repo")
    git.run("init", "-q", "--bare", str(tmp_path / "origin.git"))
    git.run("remote", "add", "origin", str(tmp_path / "origin.git"))
    git.run("commit", "-q", "--allow-empty", "-m", "first", env=git.identity)
    return git


def test_the_plots_are_files_of_a_commit_on_origin_and_the_same_again(git: Git, tmp_path: Path) -> None:
    images, note = publish_images(git, forge(), gate=gate(), decision=decision(), now=NOW)
    assert note is None
    assert [image.title for image in images] == [
        "Gain over the champion by metric, with its 95 % interval",
        "Share of rows by bin, in training and in the window",
    ]
    commit = git.run("--git-dir", str(tmp_path / "origin.git"), "rev-parse", f"refs/heads/{BRANCH}")
    for image, name in zip(images, ("gain", "drift"), strict=True):
        path = f"shop/{decision()['run_id']}/{name}.png"
        assert image.url == f"{URL}/blob/{commit}/{path}?raw=true"
        assert git.run_bytes("show", f"{commit}:{path}").startswith(PNG)
    assert publish_images(git, forge(), gate=gate(), decision=decision(), now=NOW) == (images, None)
    text = markdown(read_evidence(gate=gate(), images=images))
    assert f"![Gain over the champion by metric, with its 95 % interval]({images[0].url})" in text


@pytest.mark.parametrize(
    ("kind", "url", "expected"),
    [
        (ForgeKind.GITHUB, "https://ghe.example.com/o/r", "https://ghe.example.com/o/r/blob/c/x.png?raw=true"),
        (ForgeKind.GITEA, "http://127.0.0.1:3000/o/r", "http://127.0.0.1:3000/o/r/raw/commit/c/x.png"),
        (ForgeKind.LOCAL, "https://github.com/o/r", None),
        (ForgeKind.GITHUB, "/srv/git/shop.git", None),
        (ForgeKind.GITHUB, "https://github.com/o/r) ![](https://elsewhere.example/x", None),
    ],
)
def test_an_address_is_the_forges_own_or_none(kind: ForgeKind, url: str, expected: str | None) -> None:
    assert raw_address(kind, url, "c", "x.png") == expected


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (None, "there is no forge"),
        (forge(ForgeKind.LOCAL, "/srv/shop.git"), "has no address for files"),
        (forge(url=""), "could not be made or pushed (ServiceError)"),
    ],
)
def test_where_they_cannot_be_shown_the_report_says_so(git: Git, given: Forge | None, why: str) -> None:
    images, note = publish_images(git, given, gate=gate(), decision=decision(), now=NOW)
    assert images == ()
    assert note is not None
    assert why in note
    assert git.remote_ref(f"refs/heads/{BRANCH}") is None
    assert "_Plots are asked for and left out: " in markdown(read_evidence(gate=gate(), images_note=note))
