"""What keeping the champion has cost so far, in right answers lost, and when that is enough to train another.

The rule is rent or buy: pay for waiting, window by window, until the waiting has cost as much as a retrain. Where the
losses are known exactly and a retrain ends them, that costs at most twice what was best in hindsight, whatever the
future brings (Karlin, Manasse, Rudolph, Sleator, *Competitive snoopy caching*, 1988). The sum starts again from 0
where it fell below, so that a long good time is no credit for a bad one (Page, *Continuous inspection schemes*, 1954).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence


def regret(lost: Iterable[float]) -> float:
    """S = max(0, S) + lost of the next window, from 0, over the windows since the champion's promotion.

    ``lost`` is what a model trained just before that window would have got right more than the champion did, an
    estimate in right answers: below 0 where the champion was the better one. The regret itself is below 0 only by the
    last window. Raises ValueError on what is not finite.
    """
    total = 0.0
    for window in lost:
        if not math.isfinite(window):
            raise ValueError(f"not a number of right answers: {window}")
        total = max(0.0, total) + window
    return total


def lost_to_shadow(
    shadow_accuracy: float, champion_accuracy: float, predictions: float, *, handicaps: Sequence[float]
) -> float:
    """Right answers that the champion lost in a window by its age, measured by a cheap model trained just before it.

    predictions x ((shadow - champion) - mean of ``handicaps``), both accuracies on the same labelled rows, which
    neither was trained on: what makes a window hard is hard for both and cancels. ``handicaps`` are the same difference
    in the first window of this champion and those before it, where both were equally fresh: what the cheap model is
    worse by.
    """
    if not handicaps:
        raise ValueError("the shadow has no handicap yet: it needs one window in which the champion was fresh")
    return predictions * (shadow_accuracy - champion_accuracy - math.fsum(handicaps) / len(handicaps))


def lost_to_promise(promised_accuracy: float, champion_accuracy: float, predictions: float) -> float:
    """Right answers that the champion lost in a window against the accuracy it was promoted with.

    Needs no shadow, and cannot tell an aged champion from a hard window.
    """
    return predictions * (promised_accuracy - champion_accuracy)


def break_even(*, retrain_cost: float, error_cost: float) -> float:
    """The wrong answers that cost as much as one retrain: the regret at which to retrain. One currency for both."""
    if not (error_cost > 0 and retrain_cost >= 0 and math.isfinite(retrain_cost / error_cost)):
        raise ValueError(f"an error costs more than 0, a retrain 0 or more: {error_cost}, {retrain_cost}")
    return retrain_cost / error_cost
