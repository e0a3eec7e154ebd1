"""What is counted of a text: its length, its share of unknown words, and one frequent word that it contains.

A text holds many words, so counts of words are no counts of independent things, and the tests of drift would not hold
for them. So a text falls into exactly one bin, that of the rarest of the frequent terms it contains.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_MAX_VOCABULARY: Final = 5_000
_MAX_TERMS: Final = 20
_MIN_TEXTS: Final = 10  # a stored word is in at least so many training texts, and in at least
_MIN_SHARE: Final = 0.01  # so many of them: what one person wrote must not show
_MAX_SHARE: Final = 0.9  # a word that is everywhere tells no two texts apart
_WORD: Final = re.compile(r"\w+", re.UNICODE)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMeasures:
    """Three values a text; arrays of shape (texts,)."""

    length: npt.NDArray[np.float64]  # number of words; NaN where the text is missing
    unknown: npt.NDArray[np.float64]  # share of them outside the vocabulary; NaN where there is no word
    term: npt.NDArray[Any]  # object array: the first of ``terms`` in the text, "" for none, None where it is missing


def measure_texts(texts: npt.NDArray[Any], vocabulary: frozenset[int], terms: Sequence[str] = ()) -> TextMeasures:
    """Measure each text (``str`` or None). ``terms``: in the order of preference (``frequent_terms``)."""
    length = np.full(len(texts), np.nan)
    unknown = np.full(len(texts), np.nan)
    found: list[str | None] = []
    rank = {term: i for i, term in enumerate(terms)}
    names = (*terms, "")
    for i, text in enumerate(texts.tolist()):
        if text is None:
            found.append(None)
            continue
        words = _words(text)
        length[i] = len(words)
        if words:
            unknown[i] = sum(hash_word(word) not in vocabulary for word in words) / len(words)
        found.append(names[min((rank[word] for word in words if word in rank), default=len(terms))])
    term = np.empty(len(texts), dtype=object)
    term[:] = found
    return TextMeasures(length=length, unknown=unknown, term=term)


def vocabulary_of(texts: npt.NDArray[Any], *, in_texts: int = 2) -> frozenset[int]:
    """Hashes of the most frequent words that occur in at least ``in_texts`` texts; the words are not stored."""
    seen = {hash_word(word): n for word, n in _document_frequencies(texts).items()}
    frequent = sorted((w for w, n in seen.items() if n >= in_texts), key=lambda w: (-seen[w], w))
    return frozenset(frequent[:_MAX_VOCABULARY])


def frequent_terms(texts: npt.NDArray[Any]) -> tuple[str, ...]:
    """The about 20 words that are in most texts, the rarest first.

    Single letters, words with digits, words in nearly all texts, and words in fewer than 10 texts or 1 % of them are
    left out: these are stored as they are (docs/decisions/0007). Empty where no word is so frequent.
    """
    seen = _document_frequencies(texts)
    written = sum(text is not None for text in texts.tolist())
    least = max(_MIN_TEXTS, _MIN_SHARE * written)
    usable = [w for w, n in seen.items() if w.isalpha() and len(w) > 1 and least <= n <= _MAX_SHARE * written]
    most_frequent = sorted(usable, key=lambda w: (-seen[w], w))[:_MAX_TERMS]
    return tuple(sorted(most_frequent, key=lambda w: (seen[w], w)))


@lru_cache(maxsize=1 << 16)
def hash_word(word: str) -> int:
    """32 bits of BLAKE2b. Texts repeat their words, so the digests are remembered, in the process only."""
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=4).digest(), "big")


def _document_frequencies(texts: npt.NDArray[Any]) -> Counter[str]:
    """In how many texts each word is."""
    seen: Counter[str] = Counter()
    for text in texts.tolist():
        if text is not None:
            seen.update(set(_words(text)))
    return seen


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
