"""frouros: batch detectors on each feature, and its streaming ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from frouros.detectors.concept_drift import ADWIN, DDM, KSWIN, PageHinkley
from frouros.detectors.data_drift import PSI, IncrementalKSTest, KSTest
from protocol import Alarms, Rows, Stream, Tool, main

_ALPHA = 0.001  # of the example in its documentation
_PSI_LIMIT = 0.1  # the usual rule of thumb; frouros itself gives the number only


def each(make: Callable[[], Any]) -> Callable[[Rows], list[Any]]:
    def prepare(reference: Rows) -> list[Any]:
        detectors = [make() for _ in range(reference.shape[1])]
        for i, detector in enumerate(detectors):
            detector.fit(X=reference[:, i])
        return detectors

    return prepare


def check_ks(detectors: list[Any], window: Rows) -> Alarms:
    p_values = [detector.compare(X=window[:, i])[0].p_value for i, detector in enumerate(detectors)]
    return {"any column": min(p_values) <= _ALPHA}


def check_psi(detectors: list[Any], window: Rows) -> Alarms:
    scores = [detector.compare(X=window[:, i])[0].distance for i, detector in enumerate(detectors)]
    return {"any column": max(scores) > _PSI_LIMIT}


def concept_drift(name: str, make: Callable[[], Any]) -> Stream:
    def start(_: npt.NDArray[np.float64]) -> Callable[[npt.NDArray[np.float64]], int]:
        detector = make()

        def feed(values: npt.NDArray[np.float64]) -> int:
            alarms = 0
            for value in values.tolist():
                detector.update(value=value)
                if detector.drift:
                    alarms += 1
                    detector.reset()
            return alarms

        return feed

    return Stream(call=f"{name}()", errors=True, start=start)  # ADWIN of frouros takes no negative value


def incremental_ks(reference: npt.NDArray[np.float64]) -> Callable[[npt.NDArray[np.float64]], int]:
    detector = IncrementalKSTest(window_size=500)
    detector.fit(X=reference[:1_000])

    def feed(values: npt.NDArray[np.float64]) -> int:
        alarms = 0
        for value in values.tolist():
            result, _ = detector.update(value=value)
            alarms += result is not None and result.p_value <= _ALPHA
        return alarms

    return feed


if __name__ == "__main__":
    main(
        {
            "ks": Tool(call=f"KSTest, p <= {_ALPHA}", prepare=each(KSTest), check=check_ks),
            "psi": Tool(call=f"PSI, > {_PSI_LIMIT}", prepare=each(PSI), check=check_psi),
        },
        {
            "ADWIN": concept_drift("ADWIN", ADWIN),
            "PageHinkley": concept_drift("PageHinkley", PageHinkley),
            "KSWIN": concept_drift("KSWIN", KSWIN),
            "DDM": concept_drift("DDM", DDM),
            "IncrementalKSTest": Stream(call="IncrementalKSTest(500)", errors=False, start=incremental_ks),
        },
    )
