"""How a comparison of two models reads in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from remint.core.paired import Noise


def signed(value: float) -> str:
    """A difference with its sign: three decimals, or two digits where it is smaller than that; exactly nothing is 0.

    ``+0.000`` would hide whether there is a difference at all.
    """
    if value == 0:
        return "0"
    text = f"{value:+.3f}"
    return text if float(text) != 0 else f"{value:+.1e}"


def spread(noise: Noise) -> str:
    """``95 % interval -0.010 to +0.016``."""
    percent = f"{noise.confidence:.0%}".replace("%", " %")
    return f"{percent} interval {signed(noise.low)} to {signed(noise.high)}"


def difference(champion: float | None, challenger: float, noise: Noise | None) -> str:
    """Both values, their difference, and whether chance alone explains it."""
    if champion is None:
        return f"{challenger:.3f}, no champion to compare with"
    text = f"{challenger:.3f} against the champion's {champion:.3f}"
    if challenger == champion and (noise is None or noise.low == noise.high == 0):
        return f"{text}, no difference" if noise is None else f"{text}, no difference on any row"
    text += f", {signed(challenger - champion)}"
    if noise is None:
        return text
    text += f", {spread(noise)}"
    return f"{text}, within noise" if noise.low <= 0 <= noise.high else text


def share(value: float) -> str:
    """``4.2 %``: a share of rows, for people."""
    return f"{value * 100:.3g} %"


def listed(names: list[str], *, most: int = 5) -> str:
    """Names with commas, of which the last ones may be a number only."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
