"""``registry`` and ``environments``: how versions are numbered, and where models serve."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from remint.config.base import Section, Slug
from remint.core import environments
from remint.core.environments import Approval
from remint.core.registry import STABLE, STAGE_PATTERN
from remint.core.version import FIRST_VERSION, BumpPolicy, Version
from remint.errors import ConfigError


def _version(value: object) -> Version:
    try:
        return value if isinstance(value, Version) else Version.parse(str(value))
    except ConfigError as error:
        raise ValueError(f"{error.message}, {error.hint}") from None


def _stage(value: str) -> str:
    if re.fullmatch(STAGE_PATTERN, value) is None:
        raise ValueError(f"{value!r} is not a stage: letters, digits and dashes, as in a tag such as churn#stable#1")
    return value


def _inside(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise ValueError(f"{value!r} is not a file inside the pipeline's directory")
    return str(path)


class VersionPolicy(Section):
    first: Annotated[Version, BeforeValidator(_version)] = FIRST_VERSION
    bump: BumpPolicy = BumpPolicy.MINOR


class RegistryPolicy(Section):
    version: VersionPolicy = VersionPolicy()


class Environment(Section):
    stage: Annotated[str, AfterValidator(_stage)]
    state: Annotated[str, AfterValidator(_inside)]  # the file that the service there follows
    after: Slug | None = None  # takes only what passed there
    approval: Approval = Approval.NONE
    canary: bool = False


def _coherent(declared: dict[str, Environment]) -> dict[str, Environment]:
    if not declared:
        return declared
    stages = [environment.stage for environment in declared.values()]
    states = [environment.state for environment in declared.values()]
    for what, said in (("stage", stages), ("state", states)):
        twice = sorted({value for value in said if said.count(value) > 1})
        if twice:
            raise ValueError(f"two environments have the {what} {twice[0]!r}")
    if STABLE not in stages:
        raise ValueError(f"none has the stage {STABLE!r}: its model is the champion of check, gate and retrain")
    for name in declared:
        seen, at = [name], declared[name].after
        while at is not None:
            if at not in declared:
                raise ValueError(f"{seen[-1]} comes after {at!r}, which is not declared")
            if at in seen:
                raise ValueError(f"{at} comes after itself: {' after '.join([*seen, at])}")
            seen, at = [*seen, at], declared[at].after
    return declared


DeclaredEnvironments = Annotated[dict[Slug, Environment], AfterValidator(_coherent)]


def as_core(declared: Mapping[str, Environment]) -> environments.Environments:
    """The environments as the core knows them; one default where none is declared."""
    return environments.Environments.of(
        environments.Environment(
            name=name, stage=e.stage, state=e.state, after=e.after, approval=e.approval, canary=e.canary
        )
        for name, e in declared.items()
    )
