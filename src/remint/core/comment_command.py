"""Commands in a pull request's comments: the first line, a closed set, and nothing that a comment says is trusted.

/retrain [REASON]
/accept-regression [RULE...] REASON
/snooze 14d REASON
/help
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from enum import StrEnum
from typing import Final, assert_never

from remint.core.markdown import clean

LONGEST_REASON: Final = 300  # characters
LONGEST_SNOOZE: Final = timedelta(days=90)
_MOST_RULES: Final = 20
_WORD: Final = re.compile(r"/(?P<word>[A-Za-z][A-Za-z-]{1,30})(?=\s|$)")
_SPAN: Final = re.compile(r"(?P<count>\d{1,4})(?P<unit>[hdw])")
_UNITS: Final = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_RULE: Final = re.compile(r"(?:gate|guard|info|service|slice)[:.][\w.:=/-]{1,120}")


class Verb(StrEnum):
    RETRAIN = "retrain"
    ACCEPT = "accept-regression"
    SNOOZE = "snooze"
    HELP = "help"


USAGE: Final = {
    Verb.RETRAIN: "/retrain [REASON]",
    Verb.ACCEPT: "/accept-regression [RULE...] REASON",
    Verb.SNOOZE: "/snooze 14d REASON",
    Verb.HELP: "/help",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentCommand:
    """``reason`` is one clean line, at most ``LONGEST_REASON`` long; ``rules`` empty means every failed guard."""

    verb: Verb
    reason: str = ""
    rules: tuple[str, ...] = ()
    duration: timedelta | None = None  # of a snooze


@dataclass(frozen=True, slots=True, kw_only=True)
class Misunderstood:
    """It was meant for us and cannot be done; ``answer`` says what to write instead."""

    word: str
    answer: str


def parse_comment(body: str) -> CommentCommand | Misunderstood | None:
    """What the first line of a comment asks for; None for a comment that is none of our business."""
    line = body.lstrip("\ufeff").lstrip("\r\n").partition("\n")[0].strip()
    match = _WORD.match(line)
    if match is None:
        return None
    word, rest = match["word"].lower(), clean(line[match.end() :], longest=10_000)
    try:
        verb = Verb(word)
    except ValueError:
        near = get_close_matches(word, [v.value for v in Verb], n=1, cutoff=0.7)
        if not near:
            return None
        return Misunderstood(word=word, answer=f"there is no /{word}: did you mean {USAGE[Verb(near[0])]}?")
    return _read(verb, rest)


def _read(verb: Verb, rest: str) -> CommentCommand | Misunderstood:
    match verb:
        case Verb.HELP:
            return CommentCommand(verb=verb)
        case Verb.RETRAIN:
            return CommentCommand(verb=verb, reason=_reason(rest))
        case Verb.SNOOZE:
            return _snooze(rest)
        case Verb.ACCEPT:
            return _accept(rest)
        case _:
            assert_never(verb)


def _snooze(rest: str) -> CommentCommand | Misunderstood:
    word, _, reason = rest.partition(" ")
    match = _SPAN.fullmatch(word)
    if match is None or not reason.strip():
        return _wrong(Verb.SNOOZE, "takes how long (h, d or w) and why")
    duration = int(match["count"]) * _UNITS[match["unit"]]
    if not timedelta(0) < duration <= LONGEST_SNOOZE:
        return _wrong(Verb.SNOOZE, f"takes at most {LONGEST_SNOOZE.days}d, and more than nothing")
    return CommentCommand(verb=Verb.SNOOZE, reason=_reason(reason), duration=duration)


def _accept(rest: str) -> CommentCommand | Misunderstood:
    words = rest.split()
    rules = []
    while words and _RULE.fullmatch(words[0].rstrip(",")):
        rules.append(words.pop(0).rstrip(","))
    if not words:
        return _wrong(Verb.ACCEPT, "takes a reason")
    if len(rules) > _MOST_RULES:
        return _wrong(Verb.ACCEPT, f"takes at most {_MOST_RULES} rules")
    return CommentCommand(verb=Verb.ACCEPT, reason=_reason(" ".join(words)), rules=tuple(dict.fromkeys(rules)))


def _reason(text: str) -> str:
    return clean(text, longest=LONGEST_REASON)


def _wrong(verb: Verb, why: str) -> Misunderstood:
    return Misunderstood(word=verb.value, answer=f"/{verb.value} {why}: {USAGE[verb]}")
