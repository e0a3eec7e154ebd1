"""Runs river's drift detectors for ``policies.py``, in an environment that needs nothing but river.

One request a line on stdin: a JSON object, ``{"new": [name, parameters]}`` for a fresh detector, or
``{"wrong": "0110..."}`` with the champion's errors in order of time. One answer a line: ``1`` where the detector saw a
drift in them. At start it says its version.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import river
from river.drift import ADWIN, KSWIN, PageHinkley
from river.drift.binary import DDM, EDDM, HDDMA, HDDMW

DETECTORS: dict[str, Any] = {
    "ADWIN": ADWIN,
    "DDM": DDM,
    "EDDM": EDDM,
    "HDDM_A": HDDMA,
    "HDDM_W": HDDMW,
    "KSWIN": KSWIN,
    "Page-Hinkley": PageHinkley,
}


def main() -> None:
    print(json.dumps(river.__version__), flush=True)
    detector: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        if "new" in request:
            name, parameters = request["new"]
            detector = DETECTORS[name](**parameters)
            continue
        drifted = False
        for digit in request["wrong"]:
            detector.update(int(digit))
            drifted |= detector.drift_detected
        print(int(drifted), flush=True)


if __name__ == "__main__":
    main()
