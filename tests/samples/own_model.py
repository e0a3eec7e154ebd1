"""A team's own training code: a transformer that skops trusts only when params.yaml names it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from remint.core.schema import Schema


class LogOfSize(TransformerMixin, BaseEstimator):
    def fit(self, X: Any, y: Any = None) -> LogOfSize:  # noqa: N803 - scikit-learn's name
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: Any) -> Any:  # noqa: N803 - scikit-learn's name
        return np.log1p(np.abs(np.nan_to_num(X)))


def make(schema: Schema, parameters: Mapping[str, Any], seed: int) -> Pipeline:
    return make_pipeline(LogOfSize(), LogisticRegression(**parameters, random_state=seed))


def broken(schema: Schema, parameters: Mapping[str, Any], seed: int) -> Any:
    raise RuntimeError("no licence\nfor this solver")


def regressor(schema: Schema, parameters: Mapping[str, Any], seed: int) -> Any:
    from sklearn.linear_model import LinearRegression

    return LinearRegression()


class _Unfittable(LogisticRegression):  # type: ignore[misc]
    def fit(self, X: Any, y: Any) -> Any:  # noqa: N803 - scikit-learn's name
        raise ArithmeticError("singular matrix")


def unfittable(schema: Schema, parameters: Mapping[str, Any], seed: int) -> Any:
    return _Unfittable()


class _Named(LogisticRegression):  # type: ignore[misc]
    @property
    def classes_(self) -> Any:
        return np.array(["a", "b"])

    @classes_.setter
    def classes_(self, value: Any) -> None:
        pass


def named_classes(schema: Schema, parameters: Mapping[str, Any], seed: int) -> Any:
    return make_pipeline(LogOfSize(), _Named())


not_a_function = 3
