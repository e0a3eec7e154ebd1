"""Two pipelines in one repository: one watch, two retrains, two pull requests that leave each other alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from forge_lab import Lab, rewrite, runner, wait
from forge_world import SERVICE_TOKEN, ForgeWorld

from gitea_server import Gitea
from remint.core.pull_request import status_context

PIPELINES: Final = ("north", "south")
_DIRECTORIES: Final = '["models/north", "models/south"]'
_PARAMETERS: Final = re.compile(r"^  parameters: \{\}", re.MULTILINE)


def repository(server: Gitea, name: str) -> Gitea:
    """A new repository of the owner's, which ann may write to."""
    full = f"{server.user}/{name}"
    server.call("POST", "/user/repos", {"name": name, "default_branch": "main"})
    server.call("PUT", f"/repos/{full}/collaborators/ann", {"permission": "write"})
    forge = type(server.forge)(server.forge._rest._access, full)
    return replace(server, repository=full, forge=forge)


def two_pipelines(
    server: Gitea,
    root: Path,
    *,
    data: Path,
    label: str,
    pins: dict[str, str],
    prometheus_url: str,
    say: Callable[[str], None],
) -> None:
    lab = Lab(repository(server, "two"), root)
    world = ForgeWorld(root=root, prometheus_binary=None)
    world.clone(lab.server.clone_url)
    for name in PIPELINES:
        place = world.repo / "models" / name
        place.mkdir(parents=True)
        init = ("init", "--data", str(data), "--label", label, "--pipeline", name)
        world.run("remint", *init, at=place)
        world.run("dvc", "config", "core.remote", "shared", at=place)
        world.run("dvc", "remote", "add", "--local", "shared", str(world.root / "dvc-remote"), at=place)
        world.run("dvc", "repro", "--quiet", at=place)
        world.run("dvc", "push", "--quiet", at=place)
    rewrite(world.repo, pins, directories=_DIRECTORIES)
    world.run("git", "add", "--all")
    world.run("git", "commit", "--quiet", "--message", "Two first models")
    world.run("git", "push", "--quiet", "origin", "HEAD:refs/heads/main")
    lab.server.settle()
    for name in PIPELINES:
        place = world.repo / "models" / name
        world.run("remint", "registry", "register", at=place)
        world.run("remint", "registry", "assign", at=place)
        params = place / "params.yaml"
        text, changed = _PARAMETERS.subn("  parameters: {C: 0.5}", params.read_text())
        assert changed == 1
        params.write_text(text)
    world.commit("Regularise both a little more")
    secret = (world.repo / "models" / PIPELINES[0] / ".dvc" / "config.local").read_text()
    lab.secret("REMINT_DVC_CONFIG", secret)
    lab.secret("REMINT_SERVICE_TOKEN", SERVICE_TOKEN)
    lab.variable("REMINT_PROMETHEUS_URL", prometheus_url)
    with runner(lab):
        after = lab.newest()
        lab.start("watch.yml", reason="both are asked to learn again")
        lab.finished("watch.yml", after=after)
        wait("two retrains", lambda: len([r for r in lab.runs("retrain.yml") if r["id"] > after]) == 2, seconds=60)
        for run in [r["id"] for r in lab.runs("retrain.yml") if r["id"] > after]:
            ended = lab.ended(run)
            assert ended["conclusion"] == "success", lab.log(run)[-4000:]
    pulls = {pull["head"]["ref"]: pull for pull in lab.call("GET", "/pulls?state=open")}
    assert sorted(pulls) == [f"remint/retrain/{name}" for name in PIPELINES], sorted(pulls)
    for name in PIPELINES:
        pull = pulls[f"remint/retrain/{name}"]
        status = lab.server.forge.status(pull["head"]["sha"], status_context(name))
        comments = lab.call("GET", f"/issues/{pull['number']}/comments")
        assert status is not None, name
        assert len(comments) == 1
        assert f"pipeline={name} " in comments[0]["body"].replace("-->", " ")
        files = world.run("git", "ls-remote", "origin", f"refs/heads/remint/retrain/{name}")
        assert files.startswith(pull["head"]["sha"])
        touched = {f["filename"] for f in lab.call("GET", f"/pulls/{pull['number']}/files")}
        assert all(path.startswith(f"models/{name}/") for path in touched), touched
        say(f"{pull['html_url']} {pull['title']}: {status.state.value}: {status.description}")
