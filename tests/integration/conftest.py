"""What is slow to make and made once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from github_server import TOKEN, GitHub, serve
from pull_world import Trained, train_twice
from remint.adapters.dvc import Dvc
from remint.adapters.forge.github import GitHubForge
from remint.adapters.forge.rest import Access
from remint.adapters.git import Git
from remint.core.gate_service import ServiceProbe
from remint.workflows import gate
from retrain_world import World, build


@pytest.fixture(scope="module")
def nobodys_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests/conftest.py does for each test, for what is made once for all of a module."""
    with pytest.MonkeyPatch.context() as patch:
        _leave_home(patch, tmp_path_factory)
        yield


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A trained pipeline with its champion; tests work on copies."""

    def make(root: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            _leave_home(patch, tmp_path_factory)
            build(root)

    return World(_once("built", make, tmp_path_factory))


@pytest.fixture(scope="session")
def trained(built: World, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Two retrains; tests work on copies."""

    def make(root: Path) -> None:
        shutil.copytree(built.root, root, symlinks=True, dirs_exist_ok=True)
        with pytest.MonkeyPatch.context() as patch:
            _leave_home(patch, tmp_path_factory)
            _serve_at_once(patch)
            train_twice(World(root))

    return Trained.of(World(_once("trained", make, tmp_path_factory)))


@pytest.fixture
def two(trained: Trained, tmp_path: Path) -> Trained:
    shutil.copytree(trained.world.root, tmp_path / "world", symlinks=True)
    copy = Trained.of(World(tmp_path / "world"))
    copy.shows(1)
    return copy


@pytest.fixture
def github(two: Trained) -> Iterator[GitHub]:
    origin = Git(two.world.repo)
    with serve(GitHub(commit_of=lambda branch: origin.remote_ref(f"refs/heads/{branch}"))) as server:
        yield server


@pytest.fixture
def forge(github: GitHub) -> GitHubForge:
    return GitHubForge(Access(url=github.url, token=TOKEN, variable="GITHUB_TOKEN"), github.name)


@pytest.fixture
def data_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof costs two seconds, and most claims are about what comes after it."""
    monkeypatch.setattr(Dvc, "not_in_remote", lambda self, *, cached=True: [])


@pytest.fixture
def served_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _serve_at_once(monkeypatch)


def _serve_at_once(patch: pytest.MonkeyPatch) -> None:
    """The gate boots no service: that costs seconds, and these claims are about what becomes of its verdict."""
    fine = ServiceProbe(
        boot_seconds=1.0,
        p95_latency_seconds=0.001,
        memory_bytes=1_000_000,
        golden_rows=32,
        golden_mismatches=0,
        requests=32,
    )
    patch.setattr(gate, "probe_service", lambda *arguments, **more: fine)


def _once(name: str, make: Callable[[Path], None], factory: pytest.TempPathFactory) -> Path:
    """A directory that one of pytest's workers makes and all of them copy from."""
    base = factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"once-{name}"
    with FileLock(f"{place}.lock"):
        if not place.exists():
            draft = place.with_name(f"{place.name}-draft")  # what failed half-way is not taken for the whole
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            make(draft)
            draft.rename(place)
    return place


def _leave_home(patch: pytest.MonkeyPatch, factory: pytest.TempPathFactory) -> None:
    home = factory.mktemp("home")
    (home / "gitconfig").write_text(
        "[user]\n\tname = Test\n\temail = test@example.invalid\n[init]\n\tdefaultBranch = main\n"
    )
    patch.setenv("GIT_CONFIG_GLOBAL", str(home / "gitconfig"))
    for variable in ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_SITE_CACHE_DIR"):
        patch.setenv(variable, str(home / "dvc"))
