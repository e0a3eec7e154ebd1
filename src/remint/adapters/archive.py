"""A model as a skops archive whose bytes repeat, and back, with types trusted by name."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from remint.errors import BundleError

#: Beyond what skops itself trusts (scikit-learn's estimators, NumPy's arrays and functions): what our own estimators
#: need. A team's further types stand in ``train.trusted_types``; no list is ever read from a bundle.
TRUSTED_TYPES: Final = (
    "numpy.dtype",  # SimpleImputer keeps the one it was fitted on
    # Histogram boosting checks its input by a partial of check_array; what a partial calls has to be trusted by itself.
    "functools.partial",
    "sklearn.utils.validation.check_array",
    "remint.estimators.FiniteNumbers",
    "remint.estimators.clean_text",
    # skops does not trust it because scikit-learn follows the indices in its nodes unchecked: _check_trees checks them.
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)

_SCHEMA: Final = "schema.json"
_ADDRESSES: Final = ("_stop_words_id",)  # attributes of scikit-learn's text vectorisers that hold a memory address
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_IMMUTABLE: Final = {"JsonNode", "TypeNode", "FunctionNode"}  # whether two of them are one object depends on interning


def dump_model(model: Any) -> bytes:
    """The model as a canonical skops archive: equal models, equal bytes. Raises BundleError if it cannot be stored."""
    import skops.io  # imports all of scikit-learn: not at the service's start, only when a model is at hand

    try:
        archive = skops.io.dumps(model)
    except Exception as error:  # skops raises whatever a foreign object's methods raise
        raise BundleError(
            f"{type(model).__name__} cannot be stored: {error}", hint="skops stores no lambdas, closures or C objects"
        ) from error
    return canonical_archive(archive)


def load_model(archive: bytes, *, trusted_types: Sequence[str], where: str) -> Any:
    """The model in ``archive``; nothing of a type that is not trusted by name is imported, let alone run.

    Raises BundleError that names the untrusted types, or what is broken.
    """
    import skops.io

    try:
        untrusted = sorted(set(skops.io.get_untrusted_types(data=archive)) - {*TRUSTED_TYPES, *trusted_types})
    except Exception as error:  # a crafted archive can break skops's reader anywhere
        raise BundleError(f"not a readable skops archive: {type(error).__name__}: {error}", where=where) from error
    if untrusted:
        raise BundleError(
            f"holds types that nobody trusts: {', '.join(untrusted)}",
            where=where,
            hint="review them, then name them in params.yaml: train.trusted_types",
        )
    try:
        model = skops.io.loads(archive, trusted=[*TRUSTED_TYPES, *trusted_types])
    except ImportError as error:
        raise BundleError(
            f"needs code that cannot be imported: {error}", where=where, hint="install it, or set PYTHONPATH"
        ) from error
    except Exception as error:
        raise BundleError(f"cannot be loaded: {type(error).__name__}: {error}", where=where) from error
    _check_trees(model, where)
    return model


def canonical_archive(archive: bytes) -> bytes:
    """The same archive with nothing in it that differs between two runs.

    skops numbers objects by memory address, names files after those numbers or at random, and stamps them with the
    time. Here files are named after their content, only objects that are referred to more than once keep a number (in
    order of traversal), sets are sorted, padding and stored addresses are zero, times are fixed and entries sorted.
    """
    with zipfile.ZipFile(io.BytesIO(archive)) as source:
        state = json.loads(source.read(_SCHEMA))
        contents = {name: _without_padding(name, source.read(name)) for name in source.namelist() if name != _SCHEMA}
    names = {
        name: f"{hashlib.sha256(content).hexdigest()[:32]}.{name.rpartition('.')[2]}"
        for name, content in contents.items()
    }
    state = _settled(state, names)
    uses = Counter(node["__id__"] for node in _nodes(state) if "__id__" in node)
    numbers: dict[int, int] = {}
    for node in _nodes(state):
        old = node.pop("__id__", None)
        if old is not None and uses[old] > 1 and node["__loader__"] not in _IMMUTABLE:
            node["__id__"] = numbers.setdefault(old, len(numbers) + 1)
    files = {names[name]: content for name, content in contents.items()}
    files[_SCHEMA] = json.dumps(state, separators=(",", ":")).encode()
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as out:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3  # unix, wherever it is written
            entry.external_attr = 0o644 << 16
            out.writestr(entry, files[name])
    return target.getvalue()


def _settled(value: Any, names: dict[str, str]) -> Any:
    """The description with files under their new names, sets sorted and memory addresses gone."""
    if isinstance(value, list):
        return [_settled(item, names) for item in value]
    if not isinstance(value, dict):
        return value
    renamed = {key: _settled(item, names) for key, item in value.items()}
    if _is_node(value):
        if isinstance(value.get("file"), str):
            renamed["file"] = names[value["file"]]
        if value["__loader__"] == "DictNode":
            for name in _ADDRESSES:
                if name in renamed["content"]:
                    renamed["content"][name]["content"] = "0"
        if value["__loader__"] == "SetNode":
            renamed["content"] = sorted(renamed["content"], key=lambda node: json.dumps(_without_ids(node)))
    return renamed


def _without_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    node = _is_node(value)
    return {key: _without_ids(item) for key, item in value.items() if not (node and key == "__id__")}


def _is_node(value: dict[str, Any]) -> bool:
    """Whether it describes an object, and is not a plain dict whose keys are the user's own."""
    return isinstance(value.get("__loader__"), str)


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every node, in the order of the text."""
    if isinstance(value, list):
        for item in value:
            yield from _nodes(item)
    elif isinstance(value, dict):
        if _is_node(value):
            yield value
        for item in list(value.values()):
            yield from _nodes(item)


def _without_padding(name: str, content: bytes) -> bytes:
    if not name.endswith(".npy"):
        return content
    array = np.load(io.BytesIO(content), allow_pickle=False)
    if array.dtype.names is None:
        return content
    clean = np.zeros(array.shape, dtype=array.dtype)
    _copy_fields(array, clean)
    target = io.BytesIO()
    np.save(target, clean, allow_pickle=False)
    return target.getvalue()


def _copy_fields(source: npt.NDArray[Any], target: npt.NDArray[Any]) -> None:
    for name in source.dtype.names or ():
        if source[name].dtype.names is None:
            target[name] = source[name]
        else:
            _copy_fields(source[name], target[name])


def _check_trees(model: Any, where: str) -> None:
    """Refuse histogram trees that point outside themselves or at no feature: predicting would read foreign memory."""
    for owner in _reachable(model):
        for stage in getattr(owner, "_predictors", None) or ():
            for tree in stage:
                nodes = tree.nodes
                inner = nodes[nodes["is_leaf"] == 0]
                own = np.flatnonzero(nodes["is_leaf"] == 0)
                split_sets = len(tree.raw_left_cat_bitsets)
                sound = (
                    len(nodes) > 0
                    and (inner["left"] > own).all()
                    and (inner["right"] > own).all()
                    and (inner["left"] < len(nodes)).all()
                    and (inner["right"] < len(nodes)).all()
                    and (inner["feature_idx"] >= 0).all()
                    and (inner["feature_idx"] < owner.n_features_in_).all()
                    and (inner["bitset_idx"][inner["is_categorical"] == 1] < split_sets).all()
                )
                if not sound:
                    raise BundleError("a tree points outside itself: tampered with", where=where)


def _reachable(root: Any) -> Iterator[Any]:
    """Every object that hangs on ``root`` by attributes, lists, tuples or dicts."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        found = waiting.pop()
        if id(found) in seen or isinstance(found, str | bytes | int | float | np.ndarray | type):
            continue
        seen.add(id(found))
        if isinstance(found, dict):
            waiting.extend(found.values())
        elif isinstance(found, list | tuple | set):
            waiting.extend(found)
        elif hasattr(found, "__dict__"):
            yield found
            waiting.extend(vars(found).values())
