"""What CPU time is said to cost: money, energy and CO2e by declared factors, and nothing where one is not declared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

_SECONDS_PER_HOUR: Final = 3600.0
_WATTS_PER_KILOWATT: Final = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """``resources`` of params.yaml. None: not declared, so what rests on it has no figure."""

    currency: str  # ISO 4217, such as EUR
    cpu_hour_cost: float | None = None  # of one CPU for one hour, in ``currency``
    watts_per_cpu: float | None = None  # of one busy CPU, with the share of what stands around it
    grams_co2e_per_kwh: float | None = None  # of the grid that the runner is on


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What so many CPU seconds come to; None where a factor is not declared."""

    currency: str | None
    cost: float | None  # in ``currency``
    energy_kwh: float | None
    co2e_grams: float | None

    def to_json(self) -> dict[str, Any]:
        cost = None if self.cost is None else {"amount": _six_digits(self.cost), "currency": self.currency}
        return {"cost": cost, "energy_kwh": _six_digits(self.energy_kwh), "co2e_grams": _six_digits(self.co2e_grams)}


def _six_digits(value: float | None) -> float | None:
    """More would say that the factors are known that well."""
    return None if value is None else float(f"{value:.6g}")


def footprint(cpu_seconds: float, factors: Factors | None) -> Footprint:
    """``cost = h x cpu_hour_cost``, ``kWh = h x watts / 1000``, ``gCO2e = kWh x grams``; h is ``cpu_seconds / 3600``.

    Only CPU time counts: neither the time that a runner waits, nor storage, nor the network.
    """
    if factors is None:
        return Footprint(currency=None, cost=None, energy_kwh=None, co2e_grams=None)
    hours = cpu_seconds / _SECONDS_PER_HOUR
    energy = None if factors.watts_per_cpu is None else hours * factors.watts_per_cpu / _WATTS_PER_KILOWATT
    grid = factors.grams_co2e_per_kwh
    return Footprint(
        currency=factors.currency,
        cost=None if factors.cpu_hour_cost is None else hours * factors.cpu_hour_cost,
        energy_kwh=energy,
        co2e_grams=None if energy is None or grid is None else energy * grid,
    )
