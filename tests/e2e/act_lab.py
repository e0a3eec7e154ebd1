"""act on this machine: the workflow files as they are, started by an event file; what their steps ran is written down.

Actions of GitHub's are replaced by stand-ins, and so are remint, dvc, docker, helm and gh: here it is about what starts
what, with which words. What the commands do has its own tests, and scripts/e2e forge runs them by the same files.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from binaries import ROOT, binary

TEMPLATES: Final = ROOT / "src" / "remint" / "templates"
_USES: Final = re.compile(r"uses: ([\w-]+/[\w-]+)@([0-9a-f]{40})")
_DEADLINE_SECONDS: Final = 60.0

_CHECKOUT: Final = """\
name: checkout
description: Stands in for actions/checkout, with repositories of this machine
inputs:
  repository: {description: owner/name, default: '${{ github.repository }}'}
  path: {description: where to, default: '.'}
  ref: {description: what to check out, default: ''}
  fetch-depth: {description: not looked at, default: ''}
  token: {description: not looked at, default: ''}
  persist-credentials: {description: not looked at, default: ''}
runs:
  using: composite
  steps:
    - shell: bash
      env:
        REPOSITORY: ${{ inputs.repository }}
        PLACE: ${{ inputs.path }}
        REF: ${{ inputs.ref || github.sha }}
      run: |
        git init --quiet "$PLACE" && cd "$PLACE"
        git remote add origin "$ACT_ORIGINS/$REPOSITORY.git"
        git fetch --quiet origin '+refs/heads/*:refs/remotes/origin/*' '+refs/tags/*:refs/tags/*' "$REF"
        git checkout --quiet --force -B main "$(git rev-parse --verify --quiet "origin/$REF" || echo "$REF")"
        git branch --quiet --set-upstream-to=origin/main
"""

_PROGRAMS: Final = """\
name: setup-python
description: Stands in for actions/setup-python - the programs that write down how they were called
inputs:
  python-version: {description: not looked at, default: ''}
  cache: {description: not looked at, default: ''}
  cache-dependency-path: {description: not looked at, default: ''}
runs:
  using: composite
  steps:
    - shell: bash
      run: echo "$ACT_PROGRAMS" >> "$GITHUB_PATH"
"""

_NOTHING: Final = """\
name: nothing
description: Stands in for {name} - writes down that it was used
{inputs}
runs:
  using: composite
  steps:
    - shell: bash
      env:
{env}
      run: '"$ACT_PROGRAMS/{name}" {arguments}'
"""

_PROGRAM: Final = """\
#!{python}
import json, os, pathlib, sys
name, words = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
if name == "python" and words[:2] != ["-m", "pip"]:
    os.execv({python!r}, [{python!r}, *words])
kept = ("DECISION", "REASON", "GITHUB_TOKEN", "OTEL_EXPORTER_OTLP_HEADERS", "REMINT_PUSHGATEWAY_URL")
environment = {{k: os.environ[k] for k in kept if k in os.environ}}
call = {{"program": name, "words": words, "at": os.getcwd(), "environment": environment}}
with open(os.environ["ACT_CALLS"], "a") as file:
    file.write(json.dumps(call) + "\\n")
answers = json.loads(pathlib.Path(os.environ["ACT_ANSWERS"]).read_text())
said = " ".join([name, *words])
best = max((key for key in answers if said.startswith(key)), key=len, default=None)
answer = {{}} if best is None else answers[best]
here = answer.get("text", {{}})
text = here.get(pathlib.Path.cwd().name, "") if isinstance(here, dict) else here
if "--output" in words:
    pathlib.Path(words[words.index("--output") + 1]).write_text(text)
else:
    sys.stdout.write(text)
sys.exit(answer.get("exit", 0))
"""


@dataclass(frozen=True, slots=True)
class Call:
    program: str
    words: list[str]
    at: str  # the directory's name
    environment: dict[str, str]

    @property
    def line(self) -> str:
        return " ".join([self.program, *self.words])


@dataclass(frozen=True, slots=True)
class Ran:
    """One start of act."""

    code: int
    log: str
    calls: list[Call]

    def of(self, program: str) -> list[Call]:
        return [call for call in self.calls if call.program == program]

    def lines(self, program: str) -> list[str]:
        return [call.line for call in self.of(program)]


class ActLab:
    """Two pipelines in one repository, churn and fraud, with the workflows of ``remint init``."""

    def __init__(self, root: Path, *, flavour: str = "github") -> None:
        self.root, self.repo = root, root / "repo"
        self._act = binary("act")
        self._actions()
        self._programs()
        shutil.copytree(TEMPLATES / flavour, self.repo / ".github")
        params = (ROOT / "params.yaml").read_text()
        for pipeline in ("churn", "fraud"):
            (self.repo / pipeline).mkdir()
            (self.repo / pipeline / "params.yaml").write_text(
                re.sub(r"(?m)^pipeline: \S+", f"pipeline: {pipeline}", params)
            )
            (self.repo / pipeline / "requirements.txt").write_text("remint\n")
            (self.repo / pipeline / ".dvc").mkdir()
            (self.repo / pipeline / ".dvc" / "config").write_text("")
            (self.repo / pipeline / "dvc.lock").write_text("")
        if flavour == "github-reusable":
            self._called()
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("remote", "add", "origin", "https://github.com/acme/models")  # act reads the repository's name from it
        self.publish("acme/models", self.repo)

    def git(self, *arguments: str, at: Path | None = None) -> str:
        done = subprocess.run(["git", *arguments], cwd=at or self.repo, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def publish(self, name: str, repository: Path) -> str:
        """Commit what is there and put it where the checkout looks; the commit."""
        self.git("add", "--all", at=repository)
        self.git("commit", "--quiet", "--allow-empty", "--message", "As it is", at=repository)
        origin = self.root / "origins" / f"{name}.git"
        if not origin.exists():
            self.git("init", "--quiet", "--bare", "--initial-branch=main", str(origin))
        self.git("push", "--quiet", "--force", str(origin), "HEAD:refs/heads/main", at=repository)
        return self.git("rev-parse", "HEAD", at=repository)

    def start(
        self,
        event: str,
        workflow: str,
        payload: Mapping[str, Any],
        *,
        answers: Mapping[str, Any] | None = None,
        variables: Mapping[str, str] | None = None,
        secrets: Sequence[str] = (),
    ) -> Ran:
        """Start one workflow by an event. ``answers``: what a program says, by the beginning of its command line."""
        (self.root / "event.json").write_text(json.dumps(payload))
        (self.root / "answers.json").write_text(json.dumps(dict(answers or {})))
        calls = self.root / "calls.jsonl"
        calls.write_text("")
        command = [self._act, event, "--workflows", f".github/workflows/{workflow}", "--eventpath", "../event.json"]
        command += ["--platform", "ubuntu-latest=-self-hosted", "--no-skip-checkout", "--no-cache-server"]
        command += [
            "--action-offline-mode",
            "--actor",
            "ada",
            "--secret",
            "GITHUB_TOKEN=the-built-in",
        ]  # else act asks gh
        for name, place in self._standing_in():
            command += ["--local-repository", f"{name}={place}"]
        for name, value in {"REMINT_DIRECTORIES": '["churn", "fraud"]', **(variables or {})}.items():
            command += ["--var", f"{name}={value}"]
        for name in secrets:
            command += ["--secret", f"{name}=the-{name}"]
        places = {
            "ACT_ORIGINS": str(self.root / "origins"),
            "ACT_PROGRAMS": str(self.root / "programs"),
            "ACT_CALLS": str(calls),
            "ACT_ANSWERS": str(self.root / "answers.json"),
        }
        environment = {
            "PATH": f"{self.root / 'programs'}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.root / "home"),
            "XDG_CACHE_HOME": str(self.root / "cache"),
            "LANG": "C.UTF-8",
            **{name: value for name, value in os.environ.items() if name.startswith("GIT_CONFIG")},
            **places,
        }
        for name, value in places.items():
            command += ["--env", f"{name}={value}"]
        done = subprocess.run(
            command, cwd=self.repo, env=environment, capture_output=True, text=True, timeout=_DEADLINE_SECONDS
        )
        made = [json.loads(line) for line in calls.read_text().splitlines()]
        return Ran(
            done.returncode,
            done.stdout + done.stderr,
            [Call(m["program"], m["words"], Path(m["at"]).name, m["environment"]) for m in made],
        )

    # -- what stands in ----------------------------------------------------------------------------------------------

    def _standing_in(self) -> set[tuple[str, Path]]:
        used: set[tuple[str, Path]] = set()
        for path in (*(self.repo / ".github").rglob("*.yml"), *(self.root / "remint").glob(".github/**/*.yml")):
            for name, pin in _USES.findall(path.read_text()):
                used.add((f"{name}@{pin}", self.root / "actions" / name.rpartition("/")[2]))
            for name, pin in re.findall(r"uses: (acme/remint)/\S+@([0-9a-f]{40})", path.read_text()):
                used.add((f"{name}@{pin}", self.root / "remint"))
        return used

    def _actions(self) -> None:
        def nothing(name: str, *inputs: str) -> str:
            declared = "".join(f"\n  {i}: {{description: of the action, default: ''}}" for i in inputs)
            env = "\n".join(f"        I{n}: ${{{{ inputs.{i} }}}}" for n, i in enumerate(inputs))
            return _NOTHING.format(
                name=name,
                inputs=f"inputs:{declared}",
                env=env,
                arguments=" ".join(f'"{i}=$I{n}"' for n, i in enumerate(inputs)),
            )

        texts = {
            "checkout": _CHECKOUT,
            "setup-python": _PROGRAMS,
            "setup-helm": nothing("setup-helm", "version"),
            "upload-artifact": nothing("upload-artifact", "name", "path", "include-hidden-files", "if-no-files-found"),
            "download-artifact": nothing("download-artifact", "name", "path", "run-id", "github-token"),
        }
        for name, text in texts.items():
            place = self.root / "actions" / name
            place.mkdir(parents=True)
            (place / "action.yml").write_text(text)

    def _programs(self) -> None:
        place = self.root / "programs"
        place.mkdir()
        (self.root / "home").mkdir()
        text = _PROGRAM.format(python=sys.executable)
        for name in (
            "python",
            "remint",
            "dvc",
            "docker",
            "helm",
            "gh",
            "setup-helm",
            "upload-artifact",
            "download-artifact",
        ):
            (place / name).write_text(text)
            (place / name).chmod(0o755)

    def _called(self) -> None:
        """Remint's own repository beside this one; its address and commit in the callers, as in docs/workflows.md."""
        remint = self.root / "remint"
        shutil.copytree(ROOT / ".github", remint / ".github")
        self.git("init", "--quiet", "--initial-branch=main", str(remint), at=self.root)
        commit = self.publish("acme/remint", remint)
        both = f"      remint-repository: acme/remint\n      remint-ref: {commit}\n"
        for path in (self.repo / ".github" / "workflows").glob("*.yml"):
            text = path.read_text().replace("0" * 40, commit)
            with_ = "    with:\n"
            text = (
                text.replace(with_, with_ + both)
                if with_ in text
                else re.sub(r"(    uses: .*\n)", rf"\1{with_}{both}", text)
            )
            path.write_text(text)
