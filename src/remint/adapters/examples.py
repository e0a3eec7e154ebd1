"""Data that travels with the dependencies, for a first try without a file of one's own."""

from __future__ import annotations

from enum import StrEnum

from sklearn.datasets import load_breast_cancer


class Example(StrEnum):
    BREAST_CANCER = "breast-cancer"

    @property
    def label(self) -> str:
        return "diagnosis"


def example_csv(example: Example) -> bytes:
    """The example as CSV; always the same bytes. Source: scikit-learn's copy of the Wisconsin diagnostic data."""
    match example:
        case Example.BREAST_CANCER:
            data = load_breast_cancer()
            header = ",".join([*(str(name).replace(" ", "_") for name in data.feature_names), example.label])
            lines = [
                ",".join([*(repr(float(value)) for value in row), str(data.target_names[target])])
                for row, target in zip(data.data, data.target, strict=True)
            ]
            return "\n".join([header, *lines, ""]).encode()
