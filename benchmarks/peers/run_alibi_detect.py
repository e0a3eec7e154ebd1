"""alibi-detect: Kolmogorov-Smirnov on each feature with Bonferroni's correction, its default."""

from __future__ import annotations

from alibi_detect.cd import KSDrift
from protocol import Alarms, Rows, Tool, main


def check(detector: KSDrift, window: Rows) -> Alarms:
    return {"data set": bool(detector.predict(window)["data"]["is_drift"])}


if __name__ == "__main__":
    main({"ks": Tool(call="KSDrift(x_ref, p_val=0.05)", prepare=lambda rows: KSDrift(rows, p_val=0.05), check=check)})
