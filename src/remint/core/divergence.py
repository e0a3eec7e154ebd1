"""How far two counts over the same bins are apart."""

from __future__ import annotations

from enum import StrEnum


class Method(StrEnum):
    """What drift is measured by. All are found from counts; KS and Wasserstein need an ordered (numeric) field."""

    PSI = "psi"  # population stability index, nats
    KL = "kl"  # Kullback-Leibler divergence of the window from the reference, nats
    JS = "js"  # Jensen-Shannon divergence, nats
    CHI_SQUARE = "chi_square"  # Pearson's statistic by the effective number of rows
    KS = "ks"  # largest difference of the cumulative shares, 0 to 1
    WASSERSTEIN = "wasserstein"  # earth mover's distance, in the reference's spreads

    @property
    def is_ordered(self) -> bool:
        return self in {Method.KS, Method.WASSERSTEIN}
