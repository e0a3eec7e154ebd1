"""The doctor's looks at what answers over the network: the store, Prometheus, the forge."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final

from remint.adapters.feedback_store import open_store
from remint.adapters.forge import Forge, ForgeKind, RunState
from remint.adapters.forge.settings import actions_settings, workflow_state
from remint.adapters.git import Git
from remint.config import Params, Source
from remint.core.checkup import Checkup
from remint.core.pull_request import status_context
from remint.errors import PermissionDeniedError, RemintError
from remint.workflows.doctor_look import Look, Patient, failed, not_asked, ok, warning
from remint.workflows.sources import Sources

_WATCH: Final = "watch.yml"
_LATE: Final = 3  # schedules are delayed and dropped under load: this many in a row are not
_NO_FORGE: Final = "no forge in the environment: --forge names one"
_NO_ANSWER: Final = "the forge cannot be asked, see forge.repository"
_NO_PARAMS: Final = "params.yaml cannot be read"


def service_looks(patient: Patient, params: Params | None) -> list[tuple[str, Look]]:
    if params is None:
        return [(name, partial(not_asked, name, _NO_PARAMS)) for name in ("prometheus", "store")]
    sources = Sources.of(params.check, directory=patient.directory, environ=patient.environ)
    return [
        ("prometheus", partial(_prometheus, sources, patient)),
        ("store", partial(_store, sources, params.pipeline)),
    ]


def _prometheus(sources: Sources, patient: Patient) -> Checkup:
    if sources.source is not Source.PROMETHEUS:
        return not_asked("prometheus", f"check.source is {sources.source.value}")
    client = sources.prometheus()
    client.query("vector(1)", patient.now)
    return ok("prometheus", f"{client.url} answers")


def _store(sources: Sources, pipeline: str) -> Checkup:
    if sources.store_url is None:
        return not_asked("store", "REMINT_STORE_URL is not set")
    with open_store(sources.store_url, pipeline=pipeline):
        return ok("store", "the feedback store opens, and is of this pipeline")


def forge_looks(patient: Patient, git: Git | None, params: Params | None) -> list[tuple[str, Look]]:
    names = ("forge.repository", "forge.pull_requests", "forge.checks", "forge.approvals", "forge.schedule")
    forge = patient.forge
    if forge is None:
        return [(name, partial(not_asked, name, _NO_FORGE)) for name in names]
    if isinstance(forge, RemintError):
        wrong: Look = partial(failed, names[0], forge)
        return [(names[0], wrong), *((name, partial(not_asked, name, _NO_ANSWER)) for name in names[1:])]
    looks: list[Look] = [
        partial(_repository, forge),
        partial(_pull_requests, forge),
        partial(_checks, forge, params),
        partial(_approvals, forge),
        partial(_schedule, forge, patient, git, params),
    ]
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


def _checks(forge: Forge, params: Params | None) -> Checkup:
    name = "forge.checks"
    if forge.kind is ForgeKind.LOCAL:
        return not_asked(name, "a bare repository protects no branch")
    if params is None:
        return not_asked(name, _NO_PARAMS)
    branch = forge.repository().default_branch
    protection, wanted = forge.protection(branch), status_context(params.pipeline)
    where = _protection_page(forge, branch)
    if protection is None:
        return failed(name, f"{branch} is not protected: a gate that fails blocks no merge", mend=where)
    if wanted not in protection.checks:
        return failed(name, f"{branch} does not require {wanted}", mend=f"{where}: require the status {wanted}")
    return ok(name, f"{branch} requires {wanted}")


def _approvals(forge: Forge) -> Checkup:
    name = "forge.approvals"
    if forge.kind is ForgeKind.LOCAL:
        return not_asked(name, "a bare repository protects no branch")
    branch = forge.repository().default_branch
    protection = forge.protection(branch)
    where = _protection_page(forge, branch)
    if protection is None or protection.approvals == 0:
        return warning(name, f"{branch} takes a merge that nobody has approved", mend=f"{where}: require an approval")
    if not protection.dismisses_stale:
        line = "an approval stays when new commits come: a refreshed model would be merged unseen"
        return failed(name, line, mend=f"{where}: dismiss stale approvals")
    return ok(name, f"{protection.approvals} approvals, and a new commit takes them back")


def _protection_page(forge: Forge, branch: str) -> str:
    return f"{forge.repository().url}/settings/branches, rule for {branch}"


def _schedule(forge: Forge, patient: Patient, git: Git | None, params: Params | None) -> Checkup:
    name = "forge.schedule"
    top = patient.directory if git is None else git.toplevel
    if not any((top / folder / "workflows" / _WATCH).is_file() for folder in (".github", ".gitea", ".forgejo")):
        return not_asked(name, f"the repository has no {_WATCH}")
    if params is None:
        return not_asked(name, _NO_PARAMS)
    again = f"gh workflow enable {_WATCH} && gh workflow run {_WATCH}"
    state = workflow_state(forge, _WATCH)
    if state not in {None, "active"}:
        return failed(name, f"{_WATCH} is {state}: nothing is checked", mend=again)
    newest = next(iter(forge.runs(_WATCH, most=1)), None)
    if newest is None:
        return warning(name, f"{_WATCH} has never run", mend=again)
    age = patient.now - newest.created_at
    if age > _LATE * params.check.every:
        line = f"{_WATCH} ran {_span(age)} ago, and check.every is {_span(params.check.every)}"
        return failed(name, f"{line}: is its schedule disabled?", mend=again)
    if newest.state is RunState.FAILURE:
        return failed(name, f"the newest run of {_WATCH} failed", mend=newest.url)
    return ok(name, f"{_WATCH} ran {_span(age)} ago")


def _span(duration: timedelta) -> str:
    hours = duration / timedelta(hours=1)
    return f"{hours / 24:.0f} d" if hours >= 48 else f"{hours:.0f} h" if hours >= 2 else f"{hours * 60:.0f} min"
