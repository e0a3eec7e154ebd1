"""Guards around every test: no network beyond this machine, no use of the real home directory."""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# The same examples each time, however slow the machine is: a red test is red again
settings.register_profile("remint", derandomize=True, deadline=None, database=None)
settings.load_profile("remint")

SHARED_DATA = Path(os.environ.get("REMINT_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))


class NetworkBeyondThisMachineError(RuntimeError):
    """A test reached for another machine: it would fail offline, and prove something about somebody else's server."""


_connect = socket.socket.connect


def _loopback_only(self: socket.socket, address: Any) -> Any:
    if self.family in {socket.AF_INET, socket.AF_INET6}:
        host = str(address[0])
        try:
            local = ipaddress.ip_address(host).is_loopback
        except ValueError:
            local = host == "localhost"
        if not local:
            raise NetworkBeyondThisMachineError(host)
    return _connect(self, address)


@pytest.fixture(autouse=True)
def _guards(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setattr(socket.socket, "connect", _loopback_only)
    home = tmp_path_factory.getbasetemp() / "home"
    home.mkdir(exist_ok=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    for variable in ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_SITE_CACHE_DIR"):
        monkeypatch.setenv(variable, str(home / "dvc"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    (home / "gitconfig").write_text(
        "[user]\n\tname = Test\n\temail = test@example.invalid\n[init]\n\tdefaultBranch = main\n"
        "[advice]\n\tdetachedHead = false\n"
    )
    for variable in list(os.environ):
        if variable.startswith(("REMINT_", "GITHUB_", "GITEA_", "FORGEJO_", "OTEL_")):
            monkeypatch.delenv(variable)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules with a slow test come first: begun last, one of them keeps a worker busy long after the other is idle."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def shared_data() -> Path:
    """Real files that are not part of the project; tests that need them are skipped where they are absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the shared data files ({SHARED_DATA}); set REMINT_SHARED_DATA")
    return SHARED_DATA
