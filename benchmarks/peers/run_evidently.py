"""Evidently: its data-drift preset, and the decision that the preset makes."""

from __future__ import annotations

import functools
from typing import Any

import pandas as pd
from evidently import Report
from evidently.legacy.calculations.stattests import get_stattest
from evidently.legacy.core import ColumnType
from evidently.presets import DataDriftPreset
from protocol import Alarms, Rows, Tool, World, main

_SHARE = 0.5  # of the columns, from which the preset calls the data set drifted


def frame(rows: Rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[f"f{i}" for i in range(rows.shape[1])], copy=False)


def report(method: str | None) -> Tool:
    preset = {} if method is None else {"method": method}

    def check(reference: pd.DataFrame, window: pd.DataFrame) -> Alarms:
        found = Report([DataDriftPreset(**preset)]).run(window, reference).dict()
        count, share = (found["metrics"][0]["value"][key] for key in ("count", "share"))
        return {"half of the columns": share >= _SHARE, "any column": count > 0}

    named = "" if method is None else f'method="{method}"'
    return Tool(
        call=f"Report([DataDriftPreset({named})])", load=frame, prepare=lambda reference: reference, check=check
    )


class ColumnTests:
    """The same decision without the report's plots, which take seconds: thousands of windows would take days."""

    def __init__(self, reference: pd.DataFrame) -> None:
        self.reference = reference
        self.tests: list[tuple[str, Any]] = [
            (name, get_stattest(reference[name], reference[name], ColumnType.Numerical, None)) for name in reference
        ]

    def check(self, window: pd.DataFrame) -> Alarms:
        drifted = [
            bool(test(self.reference[name], window[name], ColumnType.Numerical, None).drifted)
            for name, test in self.tests
        ]
        return {"half of the columns": sum(drifted) >= _SHARE * len(drifted), "any column": any(drifted)}


@functools.cache
def assert_same_decisions() -> None:
    """The short way decides as the report does, seen on rows where some columns drift."""
    world = World(seed=0, reference_rows=2_000, window_rows=200, features=4, shift=0.3)
    reference, window = frame(world.reference(0)), frame(world.window(0, 0))
    assert report(None).check(reference, window) == ColumnTests(reference).check(window)


def prepare(reference: pd.DataFrame) -> ColumnTests:
    assert_same_decisions()
    return ColumnTests(reference)


if __name__ == "__main__":
    main(
        {
            "report": report(None),
            "report, PSI": report("psi"),
            "decision": Tool(
                call="the tests of DataDriftPreset()", load=frame, prepare=prepare, check=ColumnTests.check
            ),
        }
    )
