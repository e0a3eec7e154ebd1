"""One way to train: the estimator that ``params.yaml`` names, made and fitted, with every mistake one line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from remint.adapters.bundle import predict
from remint.adapters.modules import import_function
from remint.config import Params
from remint.core.recency import ALL, Window, newest
from remint.core.rows import LabelledRows
from remint.core.schema import Schema
from remint.errors import BundleError, ConfigError, DataError, RemintError, did_you_mean
from remint.workflows.prepare import PREPARED

_TRAIN: Final = "params.yaml: train"
_SEEDS: Final = frozenset({"seed", "random_state"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """An estimator with its parameters and the window of rows that it learns from."""

    name: str
    estimator: str
    make: Callable[..., Any]
    parameters: Mapping[str, Any]
    window: Window
    seed: int
    where: str  # the key in params.yaml that names the estimator

    def rows(self, training: LabelledRows) -> LabelledRows:
        """The training rows that it learns from."""
        return newest(training, self.window)

    def model(self, schema: Schema) -> Any:
        """An unfitted model. Raises ConfigError where it cannot be had."""
        try:
            model = self._made(schema)
            absent = [method for method in ("fit", "predict_proba") if not callable(getattr(model, method, None))]
        except RemintError:
            raise
        except Exception as error:  # the team's code may raise anything
            raise ConfigError(f"{self.estimator} raised {type(error).__name__}: {error}", where=self.where) from error
        if absent:
            raise ConfigError(f"what {self.estimator} returned has no {absent[0]}()", where=self.where)
        return model

    def _made(self, schema: Schema) -> Any:
        """Called as ``(schema, parameters, seed)`` where its first argument is the schema, else by its own names.

        So a team's own function, and a class such as scikit-learn's RandomForestClassifier, can be named as it is: it
        gets ``train.parameters`` as keyword arguments, and the seed where it takes ``seed`` or ``random_state``.
        """
        taken = inspect.signature(self.make).parameters
        first = next(iter(taken), None)
        if first is not None and first.lstrip("_") in {"", "schema"}:
            return self.make(schema, self.parameters, self.seed)
        place = f"{_TRAIN}.parameters"
        if reserved := sorted(_SEEDS & set(self.parameters)):
            raise ConfigError(f"{reserved[0]} is not a parameter here", where=place, hint="set train.seed")
        if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in taken.values()):
            for name in self.parameters:
                if name not in taken:
                    raise ConfigError(
                        f"{self.estimator} takes no {name!r}", where=place, hint=did_you_mean(name, [*taken])
                    )
        return self.make(**self.parameters, **dict.fromkeys(sorted(_SEEDS & set(taken)), self.seed))

    def fit(self, schema: Schema, rows: LabelledRows) -> Any:
        """A new model, fitted on just these rows, by their weights where they have any.

        Raises ConfigError where the estimator takes no weights or gives no probabilities of the classes, DataError
        where it cannot learn from the rows.
        """
        model = self.model(schema)
        codes = {label: code for code, label in enumerate(schema.classes)}
        y = np.array([codes[label] for label in rows.labels.tolist()], dtype=np.int64)
        weighted = {} if rows.weight is None else {weight_argument(model, where=self.where): rows.weight}
        try:
            model.fit(rows.table.matrix(), y, **weighted)
        except RemintError:
            raise
        except Exception as error:
            if type(error).__name__ == "InvalidParameterError":  # scikit-learn checks parameters only when it fits
                raise ConfigError(str(error), where=f"{_TRAIN}.parameters") from error
            raise DataError(
                f"{self.estimator} failed to fit: {type(error).__name__}: {error}", where=str(PREPARED)
            ) from error
        try:
            predict(model, schema, rows.table.take(np.arange(1)))
        except BundleError as error:
            raise ConfigError(f"{self.estimator}: {error.message}", where=self.where) from error
        return model


def recipes(params: Params) -> tuple[Recipe, ...]:
    """The declared candidates in their order; the section's own estimator where there are none."""
    train = params.train
    if not train.candidates:
        return (_recipe(params, "declared", train.estimator, train.parameters, ALL, f"{_TRAIN}.estimator"),)
    found = []
    for candidate in train.candidates:
        # One estimator's parameters mean nothing to another.
        inherited = train.parameters if candidate.estimator is None else {}
        found.append(
            _recipe(
                params,
                candidate.name,
                candidate.estimator or train.estimator,
                inherited if candidate.parameters is None else candidate.parameters,
                candidate.window.policy,
                f"{_TRAIN}.candidates: {candidate.name}",
            )
        )
    return tuple(found)


def _recipe(
    params: Params, name: str, estimator: str, parameters: Mapping[str, Any], window: Window, where: str
) -> Recipe:
    return Recipe(
        name=name,
        estimator=estimator,
        make=import_function(estimator, where=where),
        parameters=parameters,
        window=window,
        seed=params.train.seed,
        where=where,
    )


def weight_argument(model: Any, *, where: str) -> str:
    """The argument of ``model.fit`` that takes a weight for each row, such as ``classifier__sample_weight``.

    A scikit-learn Pipeline hands ``step__argument`` on to its step, here to the last one, and a search over an
    estimator hands arguments on to that; with scikit-learn's metadata routing switched on, both route
    ``sample_weight`` by the requests of their steps. Raises ConfigError where no weight is taken.
    """
    from sklearn import get_config

    taken = inspect.signature(model.fit).parameters
    if "sample_weight" in taken:
        return "sample_weight"
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in taken.values()):
        if get_config()["enable_metadata_routing"]:
            return "sample_weight"
        if steps := getattr(model, "steps", None):
            name, last = steps[-1]
            if callable(getattr(last, "fit", None)):
                return f"{name}__{weight_argument(last, where=where)}"
        elif callable(getattr(getattr(model, "estimator", None), "fit", None)):
            return weight_argument(model.estimator, where=where)
    raise ConfigError(
        f"the fit() of {type(model).__name__} takes no sample_weight, which prepare.half_life needs",
        where=where,
        hint="take another estimator, or prepare.window instead of prepare.half_life",
    )
