"""What is slow to make and made once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

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
    with pytest.MonkeyPatch.context() as patch:
        _leave_home(patch, tmp_path_factory)
        return build(tmp_path_factory.mktemp("built"))


def _leave_home(patch: pytest.MonkeyPatch, factory: pytest.TempPathFactory) -> None:
    home = factory.mktemp("home")
    (home / "gitconfig").write_text(
        "[user]\n\tname = Test\n\temail = test@example.invalid\n[init]\n\tdefaultBranch = main\n"
    )
    patch.setenv("GIT_CONFIG_GLOBAL", str(home / "gitconfig"))
    for variable in ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_SITE_CACHE_DIR"):
        patch.setenv(variable, str(home / "dvc"))
