"""Two estimators that come along: ``linear`` for any columns, ``boosting`` for many rows without text.

They are the protocol that ``train.estimator: module:function`` names, and an example of it: a function of
``(schema, parameters, seed)`` that returns an unfitted classifier with ``fit(X, y)``, ``predict_proba(X)`` and
``classes_``. X is ``Table.matrix()``; y holds class codes, the index into ``schema.classes``.

What a live request may hold never makes them fail: a missing or infinite number, an unseen category, an empty text, a
code point that is no character. High cardinalities are bounded by grouping rare values.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from remint.core.schema import Kind, Schema, canonical_label
from remint.errors import ConfigError, did_you_mean

_PARAMETERS: Final = "params.yaml: train.parameters"
_ONE_HOT_CATEGORIES: Final = 100  # of a column; the rarer share one column
_ORDINAL_CATEGORIES: Final = 254  # histogram trees take at most 255 bins
_TEXT_BUCKETS: Final = 1 << 16  # words and pairs are hashed: no vocabulary, so no user's word is kept in a bundle


def linear(schema: Schema, parameters: Mapping[str, Any], seed: int) -> Pipeline:
    """Logistic regression on scaled numbers, one-hot categories and TF-IDF of words and pairs of words.

    ``parameters`` are those of scikit-learn's LogisticRegression; ``class_weight`` is ``balanced`` or a weight for each
    class by name. A missing number becomes the median and a flag, a missing category is a category of its own.
    """
    classifier = _configured(LogisticRegression, schema, {"max_iter": 1000, **parameters}, seed)
    steps: list[tuple[str, Any, Any]] = []
    if numeric := _positions(schema, Kind.NUMERIC):
        imputer = SimpleImputer(strategy="median", add_indicator=True)
        steps.append(("numeric", make_pipeline(FiniteNumbers(), imputer, StandardScaler()), numeric))
    if categorical := _positions(schema, Kind.CATEGORICAL):
        encoder = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=_ONE_HOT_CATEGORIES)
        steps.append(("categorical", encoder, categorical))
    for position in _positions(schema, Kind.TEXT):
        words = HashingVectorizer(
            preprocessor=clean_text,
            token_pattern=r"(?u)\b\w+\b",  # noqa: S106 - scikit-learn's word for it; one-letter words count
            ngram_range=(1, 2),
            n_features=_TEXT_BUCKETS,
            alternate_sign=False,
            norm=None,
        )
        steps.append((f"text_{position}", make_pipeline(words, TfidfTransformer(sublinear_tf=True)), position))
    return Pipeline([("features", ColumnTransformer(steps)), ("classifier", classifier)])


def boosting(schema: Schema, parameters: Mapping[str, Any], seed: int) -> Pipeline:
    """Histogram gradient boosting: missing numbers and categories are split on as they are.

    ``parameters`` are those of scikit-learn's HistGradientBoostingClassifier. Early stopping is off unless asked for:
    it holds rows out by class, which fails on a class of one row. Raises ConfigError where there is a text column.
    """
    if texts := [schema.features[i].name for i in _positions(schema, Kind.TEXT)]:
        raise ConfigError(
            f"boosting cannot read the text column {texts[0]!r}",
            where="params.yaml: train.estimator",
            hint="use remint.estimators:linear, or declare the column categorical or ignored",
        )
    numeric, categorical = _positions(schema, Kind.NUMERIC), _positions(schema, Kind.CATEGORICAL)
    coded = list(range(len(numeric), len(schema.features)))  # behind the numbers, as the ColumnTransformer puts them
    defaults = {"early_stopping": False, "categorical_features": coded or None}
    classifier = _configured(HistGradientBoostingClassifier, schema, {**defaults, **parameters}, seed)
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
        encoded_missing_value=np.nan,
        max_categories=_ORDINAL_CATEGORIES,
    )
    steps = [("numeric", FiniteNumbers(), numeric), ("categorical", encoder, categorical)]
    features = ColumnTransformer([step for step in steps if step[2]])
    return Pipeline([("features", features), ("classifier", classifier)])


class FiniteNumbers(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Numbers as scikit-learn takes them: infinity is missing, and a column that had no value in training is 0.

    An empty column would otherwise break the binning of histogram trees, and infinity any estimator. What later rows
    hold in such a column, the model has learned nothing about.
    """

    def fit(self, X: npt.NDArray[Any], y: object = None) -> FiniteNumbers:  # noqa: ARG002, N803 - scikit-learn's names
        self.empty_ = ~np.isfinite(X.astype(np.float64)).any(axis=0)
        return self

    def transform(self, X: npt.NDArray[Any]) -> npt.NDArray[np.float64]:  # noqa: N803 - scikit-learn's name
        numbers = X.astype(np.float64)
        return np.where(self.empty_, 0.0, np.where(np.isinf(numbers), np.nan, numbers))


def clean_text(text: object) -> str:
    """Compatible forms folded, lower case; missing is empty; a lone surrogate, which has no hash, becomes ``?``."""
    return "" if text is None else unicodedata.normalize("NFKC", str(text)).lower().encode("utf-8", "replace").decode()


def _positions(schema: Schema, kind: Kind) -> list[int]:
    return [i for i, column in enumerate(schema.features) if column.kind is kind]


def _configured(classifier: Any, schema: Schema, parameters: Mapping[str, Any], seed: int) -> Any:
    """An instance with the parameters; an unknown one is a ConfigError that names the nearest."""
    known = set(classifier().get_params()) - {"random_state"}
    for name in parameters:
        if name == "random_state":
            raise ConfigError("random_state is not a parameter here", where=_PARAMETERS, hint="set train.seed")
        if name not in known:
            raise ConfigError(
                f"unknown parameter {name!r} of {classifier.__name__}",
                where=_PARAMETERS,
                hint=did_you_mean(name, known),
            )
    given = dict(parameters)
    if isinstance(given.get("class_weight"), Mapping):
        given["class_weight"] = _weights_by_code(given["class_weight"], schema)
    return classifier(**given, random_state=seed)


def _weights_by_code(weights: Mapping[object, Any], schema: Schema) -> dict[int, float]:
    codes = {name: code for code, name in enumerate(schema.classes)}
    found: dict[int, float] = {}
    for name, weight in weights.items():
        label = canonical_label(name)
        if label not in codes:
            raise ConfigError(f"{name!r} is not a class of {schema.label!r}", where=f"{_PARAMETERS}.class_weight")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or weight <= 0:
            raise ConfigError(f"the weight of {name!r} is not above 0", where=f"{_PARAMETERS}.class_weight")
        found[codes[label]] = float(weight)
    return found
