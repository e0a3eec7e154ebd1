"""Training code that ships with Remint. A team brings its own by name: ``train.estimator: module:function``.

The function gets the schema, ``train.parameters`` and ``train.seed`` and returns an unfitted scikit-learn classifier, to be
fitted on ``Table.matrix()`` (columns in the schema's order) and integer class codes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from remint.core.schema import Kind, Schema
from remint.errors import ConfigError, did_you_mean

_MAX_CATEGORIES = 100  # the rarer values of a categorical column share one
_MAX_TERMS = 20_000


def clean_text(text: object) -> str:
    """What the vectoriser sees of a text: compatible forms folded, lower case, missing as an empty text."""
    return "" if text is None else unicodedata.normalize("NFKC", str(text)).lower()


def linear(schema: Schema, parameters: Mapping[str, Any], seed: int) -> Pipeline:
    """Logistic regression over scaled numbers, one-hot categories and TF-IDF of words and word pairs.

    ``parameters``: those of scikit-learn's LogisticRegression (``C``, ``class_weight``, ``max_iter``).
    """
    numeric, categorical, text = (_positions(schema, kind) for kind in (Kind.NUMERIC, Kind.CATEGORICAL, Kind.TEXT))
    steps: list[tuple[str, Any, Any]] = []
    if numeric:
        numbers = make_pipeline(
            SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), StandardScaler()
        )
        steps.append(("numeric", numbers, numeric))
    if categorical:
        encoder = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=_MAX_CATEGORIES)
        steps.append(("categorical", encoder, categorical))
    for position in text:
        words = TfidfVectorizer(preprocessor=clean_text, ngram_range=(1, 2), max_features=_MAX_TERMS, sublinear_tf=True)
        steps.append((f"text{position}", words, position))
    model = _with_parameters(LogisticRegression, {"max_iter": 2_000, "random_state": seed}, parameters)
    return Pipeline([("columns", ColumnTransformer(steps)), ("model", model)])


def boosting(schema: Schema, parameters: Mapping[str, Any], seed: int) -> Pipeline:
    """Histogram gradient boosting: missing values and unseen categories as they come. No text columns.

    ``parameters``: those of scikit-learn's HistGradientBoostingClassifier (``max_iter``, ``learning_rate`` ...).
    """
    text = [schema.names[i] for i in _positions(schema, Kind.TEXT)]
    if text:
        raise ConfigError(
            f"boosting cannot read the text column {text[0]!r}",
            where="params.yaml: train.estimator",
            hint="use remint.estimators:linear, or bring your own",
        )
    numeric, categorical = _positions(schema, Kind.NUMERIC), _positions(schema, Kind.CATEGORICAL)
    nan = float("nan")
    steps: list[tuple[str, Any, Any]] = []
    if numeric:
        steps.append(("numeric", "passthrough", numeric))
    if categorical:
        encoder = OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=nan, encoded_missing_value=nan, max_categories=254
        )
        steps.append(("categorical", encoder, categorical))
    coded = list(range(len(numeric), len(numeric) + len(categorical)))
    defaults = {"random_state": seed, "categorical_features": coded or None, "early_stopping": False}
    model = _with_parameters(HistGradientBoostingClassifier, defaults, parameters)
    return Pipeline([("columns", ColumnTransformer(steps)), ("model", model)])


def _positions(schema: Schema, kind: Kind) -> list[int]:
    return [i for i, column in enumerate(schema.features) if column.kind is kind]


def _with_parameters(model: Any, defaults: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
    known = model().get_params()
    for name in parameters:
        if name not in known:
            raise ConfigError(
                f"{model.__name__} has no parameter {name!r}",
                where="params.yaml: train.parameters",
                hint=did_you_mean(name, known),
            )
    return model(**{**defaults, **parameters})
