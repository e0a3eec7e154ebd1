"""CPU time becomes money and CO2e by declared factors alone."""

from __future__ import annotations

import pytest

from remint.config.control import Resources
from remint.core.resources import Factors, footprint


def test_an_hour_of_a_cpu_of_ten_watts_on_a_grid_of_300_grams_is_three_grams() -> None:
    factors = Factors(currency="EUR", cpu_hour_cost=0.04, watts_per_cpu=10.0, grams_co2e_per_kwh=300.0)
    took = footprint(3600.0, factors)
    assert took.to_json() == {
        "cost": {"amount": pytest.approx(0.04), "currency": "EUR"},
        "energy_kwh": pytest.approx(0.01),
        "co2e_grams": pytest.approx(3.0),
    }


@pytest.mark.parametrize(
    ("declared", "known"),
    [
        ({}, set()),
        ({"cpu_hour_cost": 0.0}, {"cost"}),
        ({"watts_per_cpu": 10.0}, {"energy_kwh"}),
        ({"grams_co2e_per_kwh": 300.0}, set()),
        ({"watts_per_cpu": 10.0, "grams_co2e_per_kwh": 300.0}, {"energy_kwh", "co2e_grams"}),
    ],
)
def test_what_rests_on_a_factor_that_is_not_declared_has_no_figure(declared: dict[str, float], known: set[str]) -> None:
    took = footprint(60.0, Resources(**declared).factors).to_json()
    assert {key for key, value in took.items() if value is not None} == known


def test_without_params_nothing_is_claimed() -> None:
    assert set(footprint(60.0, None).to_json().values()) == {None}
