"""The registry at work: number a version by the declared policy, and say which version serves where."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.adapters.registry import load_registry, register
from remint.core.document import DocumentKind, format_time, unseal
from remint.core.environments import Environment, recorded
from remint.core.ledger import LedgerEntry
from remint.core.registry import Registered, Registry, Version
from remint.core.version import Bump, BumpPolicy, BumpReason, Interface, bump_by_verdict
from remint.errors import ConfigError, DocumentError
from remint.workflows.gate_context import recorded_acceptances
from remint.workflows.place import Place, bundle_at, named_bundle, registered_bundle
from remint.workflows.thread import run_trailer


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """A registration, and why it has this number."""

    made: Registered
    reason: str


def number(
    place: Place, rev: str, *, version: Version | None = None, bump: Bump | None = None, dry_run: bool = False
) -> Numbered:
    """Register the commit as the next version: as told, else by ``registry.version`` of params.yaml.

    Raises UsageError where the policy has no version for what the gate said, ConfigError as ``register`` does.
    """
    git, policy = Git(place.directory), place.params.registry.version
    registry, commit = load_registry(git, place.params.pipeline), git.resolve(rev)
    if version is not None:
        why = BumpReason(bump=Bump.MINOR, reason="named by hand")
    elif bump is not None:
        why = BumpReason(bump=bump, reason="bumped by hand")
    elif registry.version_of(commit) is not None:
        why = BumpReason(bump=Bump.MINOR, reason="has its version")
    elif (known := _known(git, registry, commit)) is not None:
        return Numbered(made=known, reason=f"its bundle is {known.version} since commit {known.commit[:12]}")
    elif not registry.versions:
        why = BumpReason(bump=Bump.MINOR, reason="the first version")
    elif policy.bump is BumpPolicy.BY_VERDICT:
        why = _by_verdict(git, registry, commit)
    else:
        why = BumpReason(bump=Bump.MINOR, reason="the policy is minor")
    made = register(
        git,
        registry.pipeline,
        commit,
        now=place.now,
        version=version,
        bump=why.bump,
        first=policy.first,
        message=f"Register {registry.pipeline}: {why.reason}{run_trailer(git, commit)}",
        dry_run=dry_run,
    )
    return Numbered(made=made, reason=why.reason)


def _known(git: Git, registry: Registry, commit: str) -> Registered | None:
    """A later commit that changes no model, such as a state file's, is no new version of it."""
    bundle = bundle_at(git, commit)
    return None if bundle is None else registered_bundle(git, registry, bundle)


def show(place: Place) -> dict[str, Any]:
    """Every version with its bundle and where it stands; every environment with what it serves, since when, by whom."""
    git, pipeline = Git(place.directory), place.params.pipeline
    registry = load_registry(git, pipeline)
    entries = Ledger(git, pipeline).entries()
    document = registry.to_json()
    standing = {stage: registry.champion(stage) for stage in sorted({a.stage for a in registry.assignments})}
    for version in document["versions"]:
        version["bundle"] = bundle_at(git, version["commit"])
        version["stages"] = [s for s, c in standing.items() if c and c.commit == version["commit"]]
    document["environments"] = [
        _shown(place, git, registry, environment, entries) for environment in place.params.places.all
    ]
    return document


def _shown(
    place: Place, git: Git, registry: Registry, environment: Environment, entries: Sequence[LedgerEntry]
) -> dict[str, Any]:
    stands = registry.champion(environment.stage)
    bundle = None if stands is None else bundle_at(git, stands.commit)
    state = replace(place, environment=environment, state_path=None).state_or_none()
    moved = next((e for e in reversed(entries) if stands and recorded(e, environment, stands.tag)), None)
    tagged = next((a.by for a in registry.assignments if stands and a.tag == stands.tag), None)
    return {
        "name": environment.name,
        "declared": environment.declared,
        "stage": environment.stage,
        "after": environment.after,
        "approval": environment.approval.value,
        "canary": environment.canary,
        "stands": None if stands is None else {**stands.to_json(), "bundle": bundle, "tagged_by": tagged},
        "moved": None if moved is None else {"at": format_time(moved.at), "run_id": moved.run_id, **moved.data},
        "state_file": environment.state,
        "serves": None if state is None else state.to_json(),
        "agrees": None if state is None or stands is None else state.stable == bundle,
        "rival": registry.rival(environment.stage),
    }


def _by_verdict(git: Git, registry: Registry, commit: str) -> BumpReason:
    pipeline = registry.pipeline
    bundle = named_bundle(git, commit, commit[:12])
    ledger = Ledger(git, pipeline)
    gates = []
    for run_id, data in ledger.attachments("gate.json").items():
        try:
            gate = unseal(json.loads(data), DocumentKind.GATE, pipeline=pipeline, where=f"gate.json of {run_id}")
        except ValueError:
            raise DocumentError("not JSON", where=f"gate.json of {run_id}") from None
        if gate["challenger"]["bundle"] == bundle:
            gates.append(gate)
    before = max((v for v in registry.versions if v.current), key=lambda v: v.version, default=None)
    changes = () if before is None else _interface(git, commit).changes(_interface(git, before.commit))
    return bump_by_verdict(
        max(gates, key=lambda gate: str(gate["created_at"]), default=None),
        accepted=[str(a["rule"]) for a in recorded_acceptances(ledger, bundle)],
        changes=changes,
        where=f"bundle {bundle[:19]}",
    )


def _interface(git: Git, commit: str) -> Interface:
    documents = []
    for kind in (DocumentKind.REFERENCE, DocumentKind.METADATA):
        where = f"{commit[:12]}:artifacts/{kind.value}.json"
        data = git.show(commit, f"artifacts/{kind.value}.json")
        if data is None:
            raise ConfigError("not in git, so the interface is unknown", where=where, hint="--bump says it by hand")
        try:
            documents.append(unseal(json.loads(data), kind, where=where))
        except ValueError:
            raise DocumentError("not JSON", where=where) from None
    return Interface.of(*documents)
