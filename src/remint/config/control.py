"""``pull_request`` and ``resources``: how a retrain is presented to people, and what a run is said to cost."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from remint.config.base import Section
from remint.core.resources import Factors

Factor = Annotated[float, Field(ge=0)]


class AutoMerge(StrEnum):
    """Who merges a challenger that passed its gate."""

    NEVER = "never"  # a person
    # The forge, once its required checks are green; Remint itself never merges
    ON_PASS = "on_pass"  # noqa: S105 - no password


class PullRequestPolicy(Section):
    auto_merge: AutoMerge = AutoMerge.NEVER
    owners: tuple[str, ...] = ()  # people or teams who decide; named in the report, notified by nobody but the forge
    error_cost: Annotated[float, Field(gt=0)] | None = None  # of one wrong prediction, in resources.currency
    images: bool = False  # plots as files on a branch of this repository, for reports with pictures


class Resources(Section):
    """Declared factors that turn CPU seconds into money and gCO2e; None leaves that figure out, never guesses it."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "EUR"
    cpu_hour_cost: Factor | None = None
    watts_per_cpu: Factor | None = None  # with the share of memory, cooling and network that one wants to count
    grams_co2e_per_kwh: Factor | None = None  # of the grid the runner is on

    @property
    def factors(self) -> Factors:
        return Factors(**self.model_dump())
