"""river: drift detectors that take one value after another; ADWIN also on every feature of a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from protocol import Alarms, Rows, Stream, Tool, main
from river import drift


def prepare(reference: Rows) -> list[drift.ADWIN]:
    detectors = [drift.ADWIN() for _ in range(reference.shape[1])]
    for column, detector in zip(reference.T.tolist(), detectors, strict=True):
        for value in column:
            detector.update(value)
    return detectors


def check(detectors: list[drift.ADWIN], window: Rows) -> Alarms:
    fired = False
    for column, detector in zip(window.T.tolist(), detectors, strict=True):
        for value in column:
            detector.update(value)
            fired |= detector.drift_detected
    return {"any column": fired}


def stream(name: str, make: Callable[[], Any], *, errors: bool = False) -> Stream:
    def start(_: npt.NDArray[np.float64]) -> Callable[[npt.NDArray[np.float64]], int]:
        detector = make()

        def feed(values: npt.NDArray[np.float64]) -> int:
            alarms = 0
            for value in values.tolist():
                detector.update(value)
                alarms += detector.drift_detected
            return alarms

        return feed

    return Stream(call=f"{name}()", errors=errors, start=start)


if __name__ == "__main__":
    main(
        {"adwin": Tool(call="ADWIN() on each column", prepare=prepare, check=check, streaming=True)},
        {
            "ADWIN": stream("ADWIN", drift.ADWIN),
            "PageHinkley": stream("PageHinkley", drift.PageHinkley),
            "KSWIN": stream("KSWIN", lambda: drift.KSWIN(seed=0)),
            "DDM": stream("DDM", drift.binary.DDM, errors=True),
        },
    )
