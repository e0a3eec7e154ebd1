"""whylogs: two profiles, and the drift score with the thresholds that it declares."""

from __future__ import annotations

import pandas as pd
import whylogs
from protocol import Alarms, Rows, Tool, main
from whylogs.core.view.dataset_profile_view import DatasetProfileView
from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores


def frame(rows: Rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[f"f{i}" for i in range(rows.shape[1])], copy=False)


def profile(rows: pd.DataFrame) -> DatasetProfileView:
    return whylogs.log(pandas=rows).profile().view()


def check(reference: DatasetProfileView, window: pd.DataFrame) -> Alarms:
    scores = calculate_drift_scores(target_view=profile(window), reference_view=reference, with_thresholds=True)
    return {"any column": any(score["drift_category"] == "DRIFT" for score in scores.values())}


if __name__ == "__main__":
    main({"profile": Tool(call="log(), calculate_drift_scores()", load=frame, prepare=profile, check=check)})
