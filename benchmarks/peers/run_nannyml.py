"""NannyML: univariate drift, with the method and thresholds that it chooses."""

from __future__ import annotations

import pandas as pd
from nannyml import UnivariateDriftCalculator
from protocol import Alarms, Rows, Tool, main


def frame(rows: Rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[f"f{i}" for i in range(rows.shape[1])], copy=False)


class Chunked:
    """Thresholds come from the reference's chunks, which have to have a window's size: known with the first window."""

    def __init__(self, reference: pd.DataFrame, chunk_rows: int | None = None) -> None:
        self.reference = reference
        self.calculator: UnivariateDriftCalculator | None = None if chunk_rows is None else self.fit(chunk_rows)

    def fit(self, chunk_rows: int) -> UnivariateDriftCalculator:
        if len(self.reference) < 2 * chunk_rows:
            raise ValueError("the reference holds a single chunk of a window's size: no threshold")
        calculator = UnivariateDriftCalculator(column_names=list(self.reference.columns), chunk_size=chunk_rows)
        return calculator.fit(self.reference)


def check(state: Chunked, window: pd.DataFrame) -> Alarms:
    if state.calculator is None:
        state.calculator = state.fit(len(window))
    return {"any column": alerts(state.calculator, window)}


def alerts(calculator: UnivariateDriftCalculator, window: pd.DataFrame) -> bool:
    found = calculator.calculate(window).filter(period="analysis").to_df()
    return bool(found.loc[:, (slice(None), slice(None), "alert")].to_numpy().any())


def check_tenths(state: UnivariateDriftCalculator, window: pd.DataFrame) -> Alarms:
    return {"any column": alerts(state, window)}


if __name__ == "__main__":
    main(
        {
            "chunks": Tool(
                call="UnivariateDriftCalculator(chunk_size=rows of a window)", load=frame, prepare=Chunked, check=check
            ),
            "speed": Tool(
                call="UnivariateDriftCalculator()",
                load=frame,
                prepare=lambda reference: UnivariateDriftCalculator(column_names=list(reference.columns)).fit(
                    reference
                ),
                check=check_tenths,
            ),
        }
    )
