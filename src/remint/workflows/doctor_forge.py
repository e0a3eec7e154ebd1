"""The doctor's looks at the forge: who we are to it, what it lets workflows do, what it asks before it merges."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, assert_never

from remint.adapters.forge import Forge, ForgeKind, RunState
from remint.adapters.forge.settings import TokenKind, actions_settings, reviewed, token_kind, workflow_state
from remint.adapters.git import Git
from remint.config import AutoMerge, Params
from remint.core.checkup import Checkup
from remint.core.environments import Approval
from remint.core.pull_request import status_context
from remint.errors import PermissionDeniedError, RemintError
from remint.workflows.doctor_look import Look, Patient, failed, not_asked, ok, warning

_WATCH: Final = "watch.yml"
_COMMENTS: Final = "issue_comment"
_LATE: Final = 3  # schedules are delayed and dropped under load: this many in a row are not
_NO_FORGE: Final = "no forge in the environment: --forge names one"
_NO_ANSWER: Final = "the forge cannot be asked, see forge.repository"
_NO_PARAMS: Final = "params.yaml cannot be read"
_BARE: Final = "a bare repository protects no branch"
_REVIEWS_HIDDEN: Final = "the token may not see what reviews it asks for: that takes administration: read"
_NOT_THIS_ONE: Final = (
    "gh secret set REMINT_TOKEN, with a GitHub App's token or a fine-grained one of this repository alone "
    "(contents, pull requests, commit statuses, actions: write)"
)


def forge_looks(patient: Patient, git: Git | None, params: Params | None) -> list[tuple[str, Look]]:
    forge = patient.forge
    of_params = {"checks": _checks, "auto_merge": _auto_merge, "environments": _environments}
    plain = {"token": _token, "pull_requests": _pull_requests, "approvals": _approvals}
    names = [f"forge.{name}" for name in ("repository", *plain, *of_params, "commands", "schedule")]
    if forge is None:
        return [(name, partial(not_asked, name, _NO_FORGE)) for name in names]
    if isinstance(forge, RemintError):
        wrong: Look = partial(failed, names[0], forge)
        return [(names[0], wrong), *((name, partial(not_asked, name, _NO_ANSWER)) for name in names[1:])]
    top = patient.directory if git is None else git.toplevel
    looks: list[Look] = [partial(_repository, forge), *(partial(look, forge) for look in plain.values())]
    for name, look in of_params.items():
        looks.append(
            partial(not_asked, f"forge.{name}", _NO_PARAMS) if params is None else partial(look, forge, params)
        )
    looks += [partial(_commands, forge, top), partial(_schedule, forge, patient, top, params)]
    return [(name, _allowed(name, look)) for name, look in zip(names, looks, strict=True)]


def _allowed(name: str, look: Look) -> Look:
    """What our token may not see was not asked: that is no fault of the setting."""

    def asked() -> Checkup:
        try:
            return look()
        except PermissionDeniedError as error:
            return not_asked(name, str(error))

    return asked


def _repository(forge: Forge) -> Checkup:
    found = forge.repository()
    return ok("forge.repository", f"{found.name} answers, and knows us as {forge.whoami()}")


def _token(forge: Forge) -> Checkup:
    """Which kind it is stands in how a GitHub token begins."""
    name, kind = "forge.token", token_kind(forge)
    match kind:
        case None:
            return not_asked(name, f"{forge.kind.value} has one kind of token")
        case TokenKind.BUILT_IN:
            line = "the built-in token: a pull request that it opens waits for a click before its checks run"
            return warning(name, line, mend=_NOT_THIS_ONE)
        case TokenKind.CLASSIC:
            line = "a classic token: it opens every repository of whoever made it"
            return warning(name, line, mend=_NOT_THIS_ONE)
        case TokenKind.APP | TokenKind.FINE_GRAINED | TokenKind.PERSON | TokenKind.UNKNOWN:
            return ok(name, f"{kind.value}")
        case _:
            assert_never(kind)


def _pull_requests(forge: Forge) -> Checkup:
    settings = actions_settings(forge)
    if settings is None:
        return not_asked("forge.pull_requests", f"{forge.kind.value} has no setting for it")
    if not settings.creates_pulls:
        name = forge.repository().name
        line = "GitHub Actions may not create pull requests: retrain.yml needs it, or a REMINT_TOKEN"
        mend = (
            f"gh api --method PUT repos/{name}/actions/permissions/workflow -F can_approve_pull_request_reviews=true "
            f"-f default_workflow_permissions={'write' if settings.token_writes else 'read'}"
        )
        return failed("forge.pull_requests", line, mend=mend)
    if settings.token_writes:
        name = forge.repository().name
        line = "the token of every workflow may write by default; Remint's workflows ask for what they need"
        mend = (
            f"gh api --method PUT repos/{name}/actions/permissions/workflow -f default_workflow_permissions=read "
            "-F can_approve_pull_request_reviews=true"
        )
        return warning("forge.pull_requests", line, mend=mend)
    return ok("forge.pull_requests", "GitHub Actions may create pull requests; tokens read by default")


def _checks(forge: Forge, params: Params) -> Checkup:
    name = "forge.checks"
    if forge.kind is ForgeKind.LOCAL:
        return not_asked(name, _BARE)
    branch = forge.repository().default_branch
    protection, wanted = forge.protection(branch), status_context(params.pipeline)
    where = _protection_page(forge, branch)
    if protection is None:
        return failed(name, f"{branch} is not protected: a gate that fails blocks no merge", mend=where)
    if not protection.requires(wanted):
        return failed(name, f"{branch} does not require {wanted}", mend=f"{where}: require the status {wanted}")
    return ok(name, f"{branch} requires {wanted}")


def _approvals(forge: Forge) -> Checkup:
    name = "forge.approvals"
    if forge.kind is ForgeKind.LOCAL:
        return not_asked(name, _BARE)
    branch = forge.repository().default_branch
    protection = forge.protection(branch)
    where = _protection_page(forge, branch)
    if protection is None or protection.approvals == 0:
        return warning(name, f"{branch} takes a merge that nobody has approved", mend=f"{where}: require an approval")
    if protection.approvals is None or protection.dismisses_stale is None:
        return not_asked(name, _REVIEWS_HIDDEN)
    if not protection.dismisses_stale:
        line = "an approval stays when new commits come: a refreshed model would be merged unseen"
        return failed(name, line, mend=f"{where}: dismiss stale approvals")
    return ok(name, f"{protection.approvals} approvals, and a new commit takes them back")


def _auto_merge(forge: Forge, params: Params) -> Checkup:
    """Whether what ``on_pass`` will ask for can be had; the same conditions as when it is asked for."""
    name = "forge.auto_merge"
    if params.pull_request.auto_merge is AutoMerge.NEVER:
        return not_asked(name, "params.pull_request.auto_merge is never: a person merges")
    if forge.kind is ForgeKind.LOCAL:
        mend = "auto_merge: never, and remint pull-request merge N --forge local"
        return failed(name, "auto_merge is on_pass, and a bare repository merges nothing by itself", mend=mend)
    found = forge.repository()
    if found.auto_merge is False:
        mend = f"gh api --method PATCH repos/{found.name} -F allow_auto_merge=true"
        return failed(name, f"auto_merge is on_pass, and {found.name} does not allow auto-merge", mend=mend)
    branch, wanted = found.default_branch, status_context(params.pipeline)
    protection = forge.protection(branch)
    if protection is None or not protection.requires(wanted):
        line = f"auto_merge is on_pass, and {branch} does not require {wanted}: nothing is handed to the forge"
        return failed(name, line, mend=f"{_protection_page(forge, branch)}: require the status {wanted}")
    if protection.approvals == 0:
        return ok(name, f"a challenger that passes its gate is merged by {forge.kind.value}, and nobody is asked")
    return ok(name, f"a challenger that passes its gate is merged by {forge.kind.value}, once it is approved")


def _environments(forge: Forge, params: Params) -> Checkup:
    """An environment that needs a review by params.yaml has to stop the forge's job as well."""
    name = "forge.environments"
    wanted = sorted(key for key, e in params.environments.items() if e.approval is Approval.REVIEW)
    if not wanted:
        return not_asked(name, "no environment in params.yaml has approval: review")
    known = reviewed(forge)
    if known is None:
        return not_asked(name, f"{forge.kind.value} has no environments with reviewers")
    open_to_all = [key for key in wanted if not known.get(key, False)]
    if open_to_all:
        line = f"{', '.join(open_to_all)} needs a review by params.yaml, and the forge asks nobody"
        where = f"{forge.repository().url}/settings/environments"
        return failed(name, line, mend=f"{where}: {open_to_all[0]}, required reviewers")
    return ok(name, f"{', '.join(wanted)} waits for a reviewer")


def _protection_page(forge: Forge, branch: str) -> str:
    return f"{forge.repository().url}/settings/branches, rule for {branch}"


# -- the workflows' files ----------------------------------------------------------------------------------------------


def _workflows(top: Path) -> Iterator[Path]:
    for folder in (".github", ".gitea", ".forgejo"):
        for pattern in ("*.yml", "*.yaml"):
            yield from sorted((top / folder / "workflows").glob(pattern))


def _commands(forge: Forge, top: Path) -> Checkup:
    name = "forge.commands"
    if forge.kind is ForgeKind.LOCAL:
        return not_asked(name, "a bare repository runs no workflows: remint command --comment ID --forge local")
    listening = [f.name for f in _workflows(top) if _COMMENTS in f.read_text(encoding="utf-8", errors="replace")]
    if not listening:
        line = "no workflow listens to comments: /retrain, /snooze and the like are answered by nobody"
        return warning(name, line, mend="remint init, which writes command.yml; it has to be on the default branch")
    return ok(name, f"{listening[0]} listens to comments")


def _schedule(forge: Forge, patient: Patient, top: Path, params: Params | None) -> Checkup:
    name = "forge.schedule"
    if forge.kind is ForgeKind.LOCAL:
        return not_asked(name, "a bare repository has no clock: remint loop --forge local --every 6h")
    if not any(file.name == _WATCH for file in _workflows(top)):
        return not_asked(name, f"the repository has no {_WATCH}")
    if params is None:
        return not_asked(name, _NO_PARAMS)
    again = _start_again(forge)
    state = workflow_state(forge, _WATCH)
    if state not in {None, "active"}:
        return failed(name, f"{_WATCH} is {state}: nothing is checked", mend=again)
    runs = forge.runs(_WATCH)
    newest = next((run for run in runs if run.created_at is not None), None)
    if newest is None or newest.created_at is None:
        if runs:
            return warning(name, f"{_WATCH} waits for a runner and has not run before", mend=runs[0].url)
        return warning(name, f"{_WATCH} has never run", mend=again)
    age = patient.now - newest.created_at
    if age > _LATE * params.check.every:
        line = f"{_WATCH} ran {_span(age)} ago, and check.every is {_span(params.check.every)}"
        why = "is there a runner?" if newest is not runs[0] else "is its schedule disabled?"
        return failed(name, f"{line}: {why}", mend=again)
    if newest.state is RunState.FAILURE:
        return failed(name, f"the newest run of {_WATCH} failed", mend=newest.url)
    return ok(name, f"{_WATCH} ran {_span(age)} ago")


def _start_again(forge: Forge) -> str:
    if forge.kind is ForgeKind.GITHUB:
        return f"gh workflow enable {_WATCH} && gh workflow run {_WATCH}"
    return (
        f"{forge.repository().url}/actions?workflow={_WATCH}: enable it, run it; settings/actions/runners has who could"
    )


def _span(duration: timedelta) -> str:
    hours = duration / timedelta(hours=1)
    return f"{hours / 24:.0f} d" if hours >= 48 else f"{hours:.0f} h" if hours >= 2 else f"{hours * 60:.0f} min"
