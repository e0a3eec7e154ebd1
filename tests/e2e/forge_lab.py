"""A forge with a runner on this machine: what stands in for GitHub's own actions, and how its runs are followed."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from binaries import binary
from gitea_server import PASSWORD, Gitea

_DEADLINE_SECONDS: Final = 420.0
_PIN: Final = re.compile(r"(uses: (actions/[\w-]+))@[0-9a-f]{40} # v[\d.]+")
_CRON: Final = re.compile(r'cron: "[^"]+"')

_COMPUTED: Final = """${{ fromJSON(vars.REMINT_DIRECTORIES || '["."]') }}"""

_CHECKOUT: Final = """\
name: checkout
description: Stands in for actions/checkout, as far as Remint's workflows use it
inputs:
  repository: {description: another one of this forge, default: '${{ github.repository }}'}
  path: {description: where to, default: '.'}
  ref: {description: what to check out, default: ''}
  fetch-depth: {description: 0 is the whole history with its tags, default: '1'}
  token: {description: for git, default: '${{ github.token }}'}
  persist-credentials: {description: keep the token for later steps, default: 'true'}
runs:
  using: composite
  steps:
    - shell: bash
      env:
        REPOSITORY: ${{ inputs.repository }}
        PLACE: ${{ inputs.path }}
        REF: ${{ inputs.ref || github.sha }}
        DEPTH: ${{ inputs.fetch-depth }}
        TOKEN: ${{ inputs.token }}
        KEEP: ${{ inputs.persist-credentials }}
      run: |
        set -euo pipefail
        git init --quiet "$PLACE"
        cd "$PLACE"
        git remote add origin "$GITHUB_SERVER_URL/$REPOSITORY.git"
        header="http.$GITHUB_SERVER_URL/.extraheader"
        git config "$header" "AUTHORIZATION: basic $(printf 'x-access-token:%s' "$TOKEN" | base64 -w0)"
        if [ "$DEPTH" = 0 ]; then
          git fetch --quiet origin '+refs/heads/*:refs/remotes/origin/*' '+refs/tags/*:refs/tags/*' "$REF"
        else
          git fetch --quiet "--depth=$DEPTH" origin "$REF"
        fi
        if git rev-parse --verify --quiet "refs/remotes/origin/$REF" > /dev/null; then
          git checkout --quiet --force -B "$REF" "refs/remotes/origin/$REF"
        else
          case $GITHUB_REF in
            refs/heads/*) git checkout --quiet --force -B "$GITHUB_REF_NAME" "$REF" ;;
            *) git checkout --quiet --force --detach "$REF" ;;
          esac
        fi
        [ "$KEEP" = true ] || git config --unset-all "$header"
"""

_SETUP_PYTHON: Final = """\
name: setup-python
description: Stands in for actions/setup-python - this machine's Python, which has Remint; pip asks no index
inputs:
  python-version: {{description: not looked at, default: ''}}
  cache: {{description: not looked at, default: ''}}
  cache-dependency-path: {{description: not looked at, default: ''}}
runs:
  using: composite
  steps:
    - shell: bash
      run: |
        printf '%s\\n' '{scripts}' >> "$GITHUB_PATH"
        printf '%s\\n' '{python}' >> "$GITHUB_PATH"
        printf '%s\\n' PIP_NO_INDEX=1 PIP_DISABLE_PIP_VERSION_CHECK=1 OMP_NUM_THREADS=1 >> "$GITHUB_ENV"
"""

_UPLOAD_ARTIFACT: Final = """\
name: upload-artifact
description: Stands in for actions/upload-artifact, which this forge does not take - its files are listed in the log
inputs:
  name: {description: of the artefact, required: true}
  path: {description: files, required: true}
  include-hidden-files: {description: not looked at, default: ''}
  if-no-files-found: {description: not looked at, default: ''}
  retention-days: {description: not looked at, default: ''}
runs:
  using: composite
  steps:
    - shell: bash
      env:
        NAME: ${{ inputs.name }}
        FILES: ${{ inputs.path }}
      run: printf 'artefact %s:' "$NAME" && ls -- $FILES 2>&1 || true
"""


class LabError(AssertionError):
    """The forge or a run did not do what the story needs."""


@dataclass
class Lab:
    """One repository of a Gitea, by its API."""

    server: Gitea
    root: Path
    secrets: dict[str, str] = field(default_factory=dict)  # as they were set

    @property
    def api(self) -> str:
        return f"/repos/{self.server.repository}"

    @property
    def page(self) -> str:
        return f"{self.server.url}/{self.server.repository}"

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, user: str | None = None) -> Any:
        """``path`` below the repository's own. An answer that is an error raises LabError with what the forge says."""
        try:
            return self.server.call(method, f"{self.api}{path}", dict(body or {}), user=user)
        except urllib.error.HTTPError as error:
            raise LabError(f"{method} {path}: {error.code} {error.read().decode(errors='replace')[:400]}") from None

    # -- settings ----------------------------------------------------------------------------------------------------

    def variable(self, name: str, value: str) -> None:
        self.call("POST", f"/actions/variables/{name}", {"value": value})

    def secret(self, name: str, value: str) -> None:
        self.call("PUT", f"/actions/secrets/{name}", {"data": value})
        self.secrets[name] = value

    def forget(self, name: str) -> None:
        self.call("DELETE", f"/actions/secrets/{name}")

    def token(self, *scopes: str) -> str:
        """A personal token of the repository's owner, for REMINT_TOKEN."""
        made = self.server.call(
            "POST",
            f"/users/{self.server.user}/tokens",
            {"name": "-".join(scopes).replace(":", "-"), "scopes": list(scopes)},
        )
        return str(made["sha1"])

    def protect(self, branch: str, check: str) -> None:
        """The gate's status and one approval, as docs/workflows.md asks for; people may still push to the branch."""
        body = {
            "rule_name": branch,
            "enable_push": True,
            "enable_status_check": True,
            "status_check_contexts": [check],
            "required_approvals": 1,
            "dismiss_stale_approvals": True,
        }
        self.call("POST", "/branch_protections", body)

    # -- stand-ins for GitHub's actions ------------------------------------------------------------------------------

    def actions(self) -> dict[str, str]:
        """Push the stand-ins to the organisation ``actions``; the commit of each, by its name."""
        self.server.call("POST", "/orgs", {"username": "actions"})
        python = _python_with_pip(self.root / "python")
        texts = {
            "checkout": _CHECKOUT,
            "setup-python": _SETUP_PYTHON.format(python=python, scripts=Path(sys.executable).parent),
            "upload-artifact": _UPLOAD_ARTIFACT,
        }
        pins = {}
        for name, text in texts.items():
            self.server.call("POST", "/orgs/actions/repos", {"name": name, "default_branch": "main"})
            at = self.root / "actions" / name
            at.mkdir(parents=True)
            (at / "action.yml").write_text(text)
            address = self.server.clone_url.replace(self.server.repository, f"actions/{name}")
            for command in (
                ("init", "--quiet", "--initial-branch=main"),
                ("add", "."),
                ("commit", "--quiet", "--message=Stand-in"),
                ("push", "--quiet", address, "main"),
            ):
                subprocess.run(["git", *_IDENTITY, *command], cwd=at, check=True)
            found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=at, check=True, capture_output=True, text=True)
            pins[f"actions/{name}"] = found.stdout.strip()
        return pins

    # -- runs --------------------------------------------------------------------------------------------------------

    def runs(self, workflow: str) -> list[dict[str, Any]]:
        """Newest first."""
        every = self.call("GET", "/actions/runs?limit=50")["workflow_runs"] or []
        return [run for run in every if str(run["path"]).split("@")[0].rpartition("/")[2] == workflow]

    def start(self, workflow: str, **inputs: str) -> None:
        self.call("POST", f"/actions/workflows/{workflow}/dispatches", {"ref": "main", "inputs": inputs})

    def ended(self, run: int) -> dict[str, Any]:
        """A run by its id, once it is over."""

        def over() -> dict[str, Any] | None:
            now: dict[str, Any] = self.call("GET", f"/actions/runs/{run}")
            return now if now["status"] == "completed" else None

        found: dict[str, Any] = wait(f"run {run}", over)
        return found

    def finished(self, workflow: str, *, after: int, conclusion: str | None = "success") -> dict[str, Any]:
        """The first run with an id above ``after``, once it is over. Raises LabError with its log's end where it ended
        otherwise than in ``conclusion``; None takes any.
        """

        def over() -> dict[str, Any] | None:
            new = [run for run in self.runs(workflow) if run["id"] > after]
            return new[-1] if new and new[-1]["status"] == "completed" else None

        run: dict[str, Any] = wait(f"{workflow} after run {after}", over)
        if conclusion is not None and run["conclusion"] != conclusion:
            raise LabError(
                f"{run['html_url']} ended in {run['conclusion']}:\n{self.log(run['id'], failed=True)[-6000:]}"
            )
        return run

    def log(self, run: int, *, failed: bool = False) -> str:
        """The logs of all jobs of a run, or of those that ``failed`` alone."""
        texts = []
        for job in self.call("GET", f"/actions/runs/{run}/jobs")["jobs"]:
            if failed and job["conclusion"] == "success":
                continue
            request = urllib.request.Request(f"{self.server.url}/api/v1{self.api}/actions/jobs/{job['id']}/logs")
            login = base64.b64encode(f"{self.server.user}:{PASSWORD}".encode()).decode()
            request.add_header("Authorization", f"Basic {login}")
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    texts.append(answer.read().decode(errors="replace"))
            except urllib.error.HTTPError as error:
                texts.append(f"(no log of {job['name']}: {error.code})")
        return "\n".join(texts)

    def newest(self) -> int:
        """The highest id of a run so far."""
        every = self.call("GET", "/actions/runs?limit=1")["workflow_runs"] or []
        return max((int(run["id"]) for run in every), default=0)


_IDENTITY: Final = ("-c", "user.name=E2E", "-c", "user.email=e2e@example.invalid")


def wait(what: str, look: Callable[[], Any], *, seconds: float = _DEADLINE_SECONDS) -> Any:
    """The first answer that is not None or False."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.5)
    raise LabError(f"waited {seconds:.0f} s in vain: {what}")


def dress(work: Path) -> None:
    """Let the pages look like Gitea's: its module holds the sources of its styles, which a browser can read as well,
    and no build of them. Scripts there are none, so Mermaid stays undrawn.
    """
    assets = work / "custom" / "public" / "assets"
    css = assets / "css"
    sources = Path(binary("gitea")).parent / "gitea-files" / "web_src" / "css"
    for source in sorted(sources.resolve().rglob("*.css")):
        target = css / source.relative_to(sources.resolve())
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    (css / "theme-gitea-auto.css").write_bytes((css / "themes" / "theme-gitea-light.css").read_bytes())
    with (css / "index.css").open("a") as index:
        index.write(".tw-hidden { display: none !important; }\n")  # Tailwind's classes are made by the build
    (assets / "js").mkdir()
    for name in ("iife.js", "index.js"):
        (assets / "js" / name).touch()


def rewrite(
    repository: Path, pins: Mapping[str, str], *, cron: str | None = None, directories: str | None = None
) -> None:
    """Pins of the actions that stand in, the cron of watch.yml, and where the pipelines are: nothing else.

    ``directories`` is a JSON list in place of the variable, as docs/workflows.md tells for Gitea, which has no matrix
    that is computed.
    """
    for path in sorted((repository / ".github").rglob("*.yml")):
        text = path.read_text()
        changed = _PIN.sub(lambda m: f"{m[1]}@{pins[m[2]]} # stand-in" if m[2] in pins else m[0], text)
        if cron is not None and path.name == "watch.yml":
            changed = _CRON.sub(f'cron: "{cron}"', changed)
        if directories is not None:
            changed = changed.replace(_COMPUTED, directories)
        path.write_text(changed)


@contextmanager
def runner(lab: Lab) -> Iterator[None]:
    """An act_runner of the repository, with a home of its own: the workflows set git's global configuration."""
    program, work = binary("act_runner"), lab.root / "runner"
    home = work / "home"
    home.mkdir(parents=True)
    (work / "config.yaml").write_text(
        f"""
log: {{level: info}}
runner:
  file: {work}/.runner
  capacity: 2
  timeout: 20m
  fetch_timeout: 5s
  fetch_interval: 200ms
  fetch_interval_max: 500ms
  log_report_interval: 500ms
  log_report_max_latency: 200ms
  state_report_interval: 500ms
  labels: ["ubuntu-latest:host"]
cache: {{enabled: false}}
host: {{workdir_parent: {work}/jobs}}
"""
    )
    token = lab.call("POST", "/actions/runners/registration-token")["token"]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(home / "dvc-site"),
    }
    config = ("--config", str(work / "config.yaml"))
    register = [program, "register", "--no-interactive", *config, "--instance", lab.server.url, "--token", token]
    done = subprocess.run([*register, "--name", "e2e"], cwd=work, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"the runner did not register: {done.stdout[-800:]}{done.stderr[-800:]}")
    with (work / "log").open("wb") as log:
        daemon = subprocess.Popen(
            [program, "daemon", *config], cwd=work, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield
        finally:
            daemon.terminate()
            try:
                daemon.wait(timeout=15)
            except subprocess.TimeoutExpired:
                daemon.kill()


def _python_with_pip(place: Path) -> Path:
    """An environment with pip that sees this one's packages, so that `pip install` of requirements.txt changes nothing
    here. Its directory of programs.
    """
    venv.create(place, with_pip=True)
    packages = next(place.glob("lib/python*/site-packages"))
    (packages / "this.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return place / "bin"
