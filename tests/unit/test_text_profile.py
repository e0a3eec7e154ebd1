"""Texts that the model was not trained on are measured by the same yardstick as those it was."""

from __future__ import annotations

import numpy as np

from remint.core.drift import measure_drift
from remint.core.profile import FieldRole, build_reference
from remint.core.schema import Column, Kind, Schema
from remint.core.table import Table

FEATURES = (Column(name="text", kind=Kind.TEXT),)
SCHEMA = Schema(pipeline="reviews", features=FEATURES, label="liked", classes=("no", "yes"))


def write(count: int, *, seed: int, language: str = "w") -> np.ndarray:
    """Texts of 5 to 15 words, most of them rare: in two or three texts, or in none."""
    random = np.random.default_rng(seed)
    texts = [
        " ".join(f"{language}{word}" for word in random.integers(3_000, size=random.integers(5, 16)))
        for _ in range(count)
    ]
    return np.array(texts, dtype=object)


def about(subject: str, count: int, *, seed: int) -> np.ndarray:
    """Texts of the same words but one."""
    return np.array([f"{subject} {text}" for text in write(count, seed=seed).tolist()], dtype=object)


def drifted(live: np.ndarray, training: np.ndarray | None = None) -> list[str]:
    random = np.random.default_rng(0)

    def say(count: int) -> tuple[np.ndarray, np.ndarray]:
        return random.choice(["no", "yes"], count).astype(object), random.uniform(0.5, 1, count)

    predicted, confidence = say(200)
    reference = build_reference(
        SCHEMA,
        Table(FEATURES, {"text": write(600, seed=1) if training is None else training}),
        held_out_predicted=predicted,
        held_out_confidence=confidence,
    )
    counts = reference.count(Table(FEATURES, {"text": live}), *say(len(live)))
    found = measure_drift(reference, counts, role=FieldRole.FEATURE, material_psi=0.02, alpha=1e-3)
    return [field.field for field in found if field.drifted]


def test_new_texts_of_the_same_kind_are_no_drift() -> None:
    assert drifted(write(600, seed=2)) == []


def test_texts_of_other_words_are() -> None:
    assert drifted(write(600, seed=2, language="x")) == ["text.unknown"]


def test_texts_that_change_their_subject_are_drift_of_their_words() -> None:
    halves = np.concatenate([about("food", 300, seed=3), about("room", 300, seed=4)])
    assert drifted(np.concatenate([about("food", 300, seed=5), about("room", 300, seed=6)]), halves) == []
    assert drifted(np.concatenate([about("food", 100, seed=5), about("room", 500, seed=6)]), halves) == ["text.terms"]
