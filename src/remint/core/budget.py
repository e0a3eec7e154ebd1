"""The false-alarm budget: how much of it one check may spend, whatever the schedule.

The user declares false retrains a year. That is a wage that the check earns with time and not with being asked: a check
each hour may spend an eighth of what a check each eight hours may. The sum of all alphas bounds the expected number of
false alarms under any dependence between overlapping windows (Boole's inequality).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

YEAR: Final = timedelta(days=365)
_ADVANCE: Final = timedelta(days=1)


def alpha_of_check(*, yearly: float, every: timedelta, age: timedelta, spent: float) -> float:
    """The chance of a false alarm that this check may take.

    ``yearly`` false alarms are earned evenly over a year and ``every`` is the declared schedule; ``age`` is the time
    since the champion's promotion and ``spent`` what its earlier checks took. A check spends what one interval earns,
    and never more than half of what is there, so that a schedule faster than declared makes the checks stricter instead
    of the year worse. One day (or one interval, if that is longer) is paid in advance for the first checks after a
    promotion: all alphas of a champion sum up to at most ``yearly * (age + that advance) / year``.
    """
    earned = yearly * ((max(age, timedelta()) + max(_ADVANCE, every)) / YEAR)
    return max(0.0, min(yearly * (every / YEAR), (earned - spent) / 2))
