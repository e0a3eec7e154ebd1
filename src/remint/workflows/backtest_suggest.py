"""``remint backtest --suggest``: limits that would have kept to a number of false retrains a year on a healthy past.

A retrain is false where nothing was wrong. Whether something was is for a person to say: all of the history that is
given is taken for healthy, so its retrains are false ones, and the most sensitive limits that stay within the budget
are what is suggested. Each rule is replayed alone, with its own part of the statistical budget, until its limit fits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from remint import config
from remint.config import Check
from remint.core.backtest import Suggestion, most_sensitive, round_limits
from remint.workflows.backtest import Progress, ReplayOptions, replay
from remint.workflows.backtest_recording import Chapter
from remint.workflows.judging import statistical_rules

_DROPS: Final = (0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3)
_COOLDOWNS: Final = tuple(timedelta(hours=h) for h in (6, 12, 24, 48, 72, 120, 168, 336, 720, 1440, 2160, 4320, 8760))
_AROUND: Final = (0.1, 100.0)  # limits in the user's own unit are tried from and to these multiples of the declared


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limit:
    """One number of a rule that makes it fire less often; ``values`` from the most sensitive on."""

    key: str
    declared: float
    values: tuple[float, ...]


def suggest(
    check: Check,
    chapters: Sequence[Chapter],
    *,
    false_retrains_a_year: float,
    options: ReplayOptions,
    progress: Progress | None = None,
) -> tuple[Suggestion, ...]:
    """A limit for each rule that has one to choose, then the cooldown that would have done it for all of them.

    Each rule may use its even share of the budget over the history's years, rounded down: on a short history that is
    often no retrain at all.
    """
    limits = {name: limit for name, rule in check.rules.items() if (limit := _limit(rule)) is not None}
    steps = [0, sum(2 + math.ceil(math.log2(len(limit.values) + 1)) for limit in limits.values()) + 6]

    def count(policy: Check) -> int:
        steps[0] += 1
        found = len(replay(policy, chapters, policy="", options=options).retrains)
        if progress is not None:
            progress(min(steps), steps[1])
        return found

    years = (chapters[-1].recording.end - chapters[0].recording.start) / timedelta(days=365)
    allowed = false_retrains_a_year * years
    found = [_of_rule(check, name, limit, count, int(allowed / len(limits))) for name, limit in limits.items()]
    return (*found, _of_cooldown(check, count, int(allowed)))


def _of_rule(check: Check, name: str, limit: _Limit, count: Callable[[Check], int], allowed: int) -> Suggestion:
    def fires(value: float) -> int:
        return count(_alone(check, name, limit.key, value))

    chosen = most_sensitive(limit.values, fires, allowed=allowed)
    declared = chosen[1] if chosen is not None and chosen[0] == limit.declared else fires(limit.declared)
    return Suggestion(
        rule=name,
        key=limit.key,
        declared=f"{limit.declared:g}",
        suggested=None if chosen is None else f"{chosen[0]:g}",
        retrains_declared=declared,
        retrains_suggested=None if chosen is None else chosen[1],
    )


def _of_cooldown(check: Check, count: Callable[[Check], int], allowed: int) -> Suggestion:
    def fires(cooldown: timedelta) -> int:
        return count(check.model_copy(update={"cooldown": cooldown, "min_fresh_labels": 0}))

    values = [check.cooldown, *(value for value in _COOLDOWNS if value > check.cooldown)]
    chosen = most_sensitive(values, fires, allowed=allowed)
    return Suggestion(
        rule=None,
        key="cooldown",
        declared=_duration(check.cooldown),
        suggested=None if chosen is None else _duration(chosen[0]),
        retrains_declared=fires(check.cooldown),
        retrains_suggested=None if chosen is None else chosen[1],
    )


def _alone(check: Check, name: str, key: str, value: float) -> Check:
    """The policy with this one rule, its limit changed, and no more than its part of the statistical budget."""
    rule = check.rules[name]
    changed = {key: int(value) if isinstance(getattr(rule, key), int) else value}
    clear = _CLEARS.get(key)
    if clear is not None and getattr(rule, clear, None) is not None and getattr(rule, clear) > value:
        changed[clear] = changed[key]
    yearly = check.false_retrains_a_year / max(1, statistical_rules(check))
    return check.model_copy(
        update={
            "rules": {name: rule.model_copy(update=changed)},
            "retrain_when": None,
            "false_retrains_a_year": yearly,
            "min_fresh_labels": 0,  # what matters here is how often it fires, not whether there was something to learn
        }
    )


_CLEARS: Final = {"material_psi": "clear_psi", "drop": "clear_drop", "limit": "clear", "above": "clear"}


def _limit(rule: config.Rule) -> _Limit | None:
    """None for a rule whose limit is a plan (age, volume), a price or a matter of broken data."""
    match rule:
        case config.DriftRule() | config.SlowDriftRule():
            return _between("material_psi", rule.material_psi, tuple(round_limits(0.002, 1.0)))
        case config.AccuracyRule() | config.EstimatedAccuracyRule():
            return _between("drop", rule.drop, _DROPS)
        case config.WrongRule():
            around = {math.ceil(v) for v in round_limits(max(1.0, rule.limit * _AROUND[0]), rule.limit * _AROUND[1])}
            return _between("limit", rule.limit, tuple(around))
        case config.PromqlRule(then="retrain", above=float(above)) if above > 0:
            return _between("above", above, tuple(round_limits(above * _AROUND[0], above * _AROUND[1])))
        case config.PromqlRule(then="retrain", below=float(below)) if below > 0:
            return _between("below", below, tuple(round_limits(below / _AROUND[1], below / _AROUND[0])), falling=True)
        case _:
            return None


def _between(key: str, declared: float, values: Sequence[float], *, falling: bool = False) -> _Limit:
    return _Limit(key=key, declared=declared, values=tuple(sorted({*values, declared}, reverse=falling)))


def _duration(duration: timedelta) -> str:
    hours = duration / timedelta(hours=1)
    return f"{hours / 24:g}d" if hours % 24 == 0 else f"{hours:g}h"
