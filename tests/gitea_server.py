"""A real Gitea on a loopback port, where its binary has been built; without one the test is skipped.

``go build -tags 'sqlite sqlite_unlock_notify' -o .cache/bin/gitea code.gitea.io/gitea``, and beside it the link
``gitea-files`` to that module's directory in the module cache.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from binaries import binary
from remint.adapters.forge.gitea import GiteaForge
from remint.adapters.forge.rest import Access

PASSWORD = "only-for-a-test"


@dataclass
class Gitea:
    url: str
    user: str
    access: Access
    forge: GiteaForge
    repository: str

    @property
    def clone_url(self) -> str:
        return self.url.replace("://", f"://{self.user}:{PASSWORD}@") + f"/{self.repository}.git"

    def call(self, method: str, path: str, body: dict[str, Any], *, user: str | None = None) -> Any:
        login = base64.b64encode(f"{user or self.user}:{PASSWORD}".encode()).decode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/api/v1{path}", json.dumps(body).encode(), headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def another(self, name: str) -> Gitea:
        """A new repository on the same server, into which ann may write as well."""
        self.call("POST", "/user/repos", {"name": name, "default_branch": "main"})
        self.call("PUT", f"/repos/{self.user}/{name}/collaborators/ann", {"permission": "write"})
        repository = f"{self.user}/{name}"
        return replace(self, repository=repository, forge=GiteaForge(self.access, repository))

    def settle(self) -> None:
        """Wait until it has seen the first push: an empty repository has no pull requests and no workflows."""
        deadline = time.monotonic() + 30
        while self.call("GET", f"/repos/{self.repository}", {})["empty"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def approve(self, number: int, who: str) -> None:
        path = f"/repos/{self.repository}/pulls/{number}/reviews"
        self.call("POST", path, {"event": "APPROVED", "body": ""}, user=who)


@contextmanager
def gitea(at: Path) -> Iterator[Gitea]:
    program, work = binary("gitea"), at / "gitea"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    work.mkdir()
    static = Path(program).parent / "gitea-files"  # a link to the module's directory: templates, options, public
    (work / "app.ini").write_text(
        f"""
RUN_USER = {os.environ.get("USER", "root")}
WORK_PATH = {work}
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = http://127.0.0.1:{port}/
STATIC_ROOT_PATH = {static}
DISABLE_SSH = true
OFFLINE_MODE = true
[database]
DB_TYPE = sqlite3
PATH = {work}/gitea.db
[repository]
ROOT = {work}/repos
DEFAULT_BRANCH = main
[security]
INSTALL_LOCK = true
SECRET_KEY = {secrets.token_hex(32)}
PASSWORD_HASH_ALGO = pbkdf2_v2
[service]
DISABLE_REGISTRATION = true
[actions]
ENABLED = true
DEFAULT_ACTIONS_URL = self
[log]
MODE = console
LEVEL = warn
[session]
PROVIDER = memory
[cron.update_checker]
ENABLED = false
"""
    )
    environment = {**os.environ, "GITEA_I_AM_BEING_UNSAFE_RUNNING_AS_ROOT": "true"}
    config = ("--config", str(work / "app.ini"), "--work-path", str(work))

    def run(*arguments: str) -> str:
        command = [program, *arguments, *config]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("migrate")
    tokens = {}
    for name in ("remint", "ann"):
        made = run(
            "admin", "user", "create", "--username", name, "--password", PASSWORD, "--email", f"{name}@example.invalid",
            "--must-change-password=false", "--access-token", "--access-token-name", "test",
            "--access-token-scopes", "all",
        )  # fmt: skip
        tokens[name] = made.rsplit("Access token was successfully created...", 1)[-1].split()[-1]
    command = [program, "web", *config]
    with (
        (work / "log").open("wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT) as server,
    ):
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(f"{url}/api/v1/version", work / "log")
            access = Access(url=f"{url}/api/v1", token=tokens["remint"], variable="GITEA_TOKEN")
            empty = Gitea(url=url, user="remint", access=access, forge=GiteaForge(access, "remint/-"), repository="")
            yield empty.another("churn")
        finally:
            server.terminate()


def _wait(url: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text()[-2000:])
