"""The head of the report: what a person needs to decide, in the first lines and in the pull request's title.

Fifteen lines at most, the marker and an empty one among them, whatever the documents say: each part is one line, and
lists are cut.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from remint.core.document import parse_time
from remint.core.gate import weighs
from remint.core.markdown import clean, escape
from remint.core.report_words import (
    champion_name,
    difference,
    direction_of,
    directions,
    interval_words,
    mark,
    metric_findings,
    minute,
    number,
    prose,
    span,
)
from remint.core.verdict import Verdict, finding_verdict
from remint.core.waiting import cost_of_waiting

LONGEST_TITLE: Final = 100  # characters: GitHub shows no more of a squash commit's first line
MOST_LINES: Final = 14  # of the head, without the report's marker
_SAID: Final = {Verdict.PASS: "passed", Verdict.FAIL: "failed", Verdict.INCONCLUSIVE: "inconclusive"}
_SHORTCODE: Final = re.compile(r":(?!\s|$)|(?<!\w):")  # a colon that is no punctuation: ``:tada:``
_REFERENCE: Final = re.compile(r"\b(GH)-(?=\d)", re.IGNORECASE)
_OUTER_UNDERSCORE: Final = re.compile(r"(?<![^\W_])_+|_+(?![^\W_])")  # inside a word it is no markup
_SAFE_RULE: Final = re.compile(r"[\w:.@-]+", re.ASCII)
_SAFE_VERSION: Final = re.compile(r"v?\d[\w.+-]*", re.ASCII)
_SAFE_BUNDLE: Final = re.compile(r"sha256:[0-9a-f]{64}")
_MOST_STOPPING: Final = 3
_MOST_RULES: Final = 3
_MOST_FIELDS: Final = 3
_MOST_OWNERS: Final = 8
_LONGEST: Final = 220  # characters of a sentence from a document: two lines on a screen
_ANSWERS: Final = {
    "RETRAIN": "🔁 Retrain",
    "HOLD": "⏸️ Hold",
    "INVESTIGATE": "🔎 Investigate",
    "NEED_LABELS": "🏷️ Labels needed",
    "INCONCLUSIVE": "❔ Inconclusive",
}
CANARY: Final = {"PROMOTE": "✅ promote", "ADVANCE": "⏩ advance", "HOLD": "⏸️ hold", "ROLLBACK": "⏪ roll back"}

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What ``params.yaml`` says to a report. ``error_cost`` is of one wrong prediction, in ``currency``."""

    owners: tuple[str, ...] = ()
    error_cost: float | None = None
    currency: str = "EUR"
    environment: str | None = None  # where the champion serves, if several are declared


def head(
    pipeline: str,
    *,
    gate: Json | None = None,
    decision: Json | None = None,
    verdict: Json | None = None,
    setting: Setting | None = None,
) -> str:
    """At most ``MOST_LINES`` lines of Markdown: the answer, what merging does, and one line for each question after it.

    ``verdict`` is a canary's, and leads only where there is no gate.
    """
    name = escape(pipeline)
    known = setting or Setting()
    if gate is None:
        title = f"## {name}"
        if verdict is not None:
            title = f"## {CANARY[verdict['answer']]} the canary of {name}"
        elif decision is not None:
            title = f"## {_ANSWERS[decision['answer']]}: {name}"
        lines = [*_why(decision), *_evidence(gate, decision, verdict)]
        return "\n".join([title, "", *(f"- {line}" for line in lines)]) if lines else title
    lines = [
        *_stopping(gate),
        *_gains(gate),
        *_accepted(gate),
        *_why(decision),
        f"**Waiting a week:** {_waiting(gate, decision, known)}",
        f"**Worst slice:** {_worst_slice(gate)}",
        *_evidence(gate, decision, verdict),
        f"**Decides:** {_owners(known.owners)}",
        f"**Undo:** {undo(gate, known)}",
    ]
    return "\n".join([*_verdict(gate, name), "", *(line if line.startswith("- ") else f"- {line}" for line in lines)])


def _verdict(gate: Json, name: str) -> list[str]:
    verdict, champion = Verdict(gate["verdict"]), champion_name(gate)
    titles = {
        Verdict.PASS: "Gate passed",
        Verdict.FAIL: "Gate failed",
        Verdict.INCONCLUSIVE: "Gate inconclusive",
    }
    stays = "nothing is released" if gate["champion"] is None else f"{champion} stays"
    effect = {
        Verdict.PASS: f"**Merging** releases this model beside {champion}: first to a small share of the users, as a "
        "canary, which is promoted or rolled back by what it does there."
        if gate["champion"] is not None
        else "**Merging** makes this the first model: there is no champion yet that it could be compared with.",
        Verdict.FAIL: f"**Do not merge.** Until somebody does, {stays}.",
        Verdict.INCONCLUSIVE: f"**Not to be merged yet**: too little is known to answer. Until then {stays}.",
    }
    return [f"## {mark(verdict.value)} {titles[verdict]}: {name}", effect[verdict]]


def _stopping(gate: Json) -> list[str]:
    """What stops the release, the failed before the unanswered; where only guards do, how a person takes them on."""
    stopping = [f for f in gate["findings"] if weighs(f["rule"], finding_verdict(f["verdict"])) is not Verdict.PASS]
    stopping.sort(key=lambda f: f["verdict"] != Verdict.FAIL.value)
    lines = [f"{mark(f['verdict'])} **{escape(f['rule'])}**: {_reason(f)}" for f in stopping[:_MOST_STOPPING]]
    if len(stopping) > _MOST_STOPPING:
        lines[-1] += f" _And {len(stopping) - _MOST_STOPPING} more, below._"
    guards = [f["rule"] for f in stopping if f["verdict"] == Verdict.FAIL.value and f["rule"].startswith("guard:")]
    if guards and len(guards) == len(stopping) and all(_SAFE_RULE.fullmatch(rule) for rule in guards):
        accept = " ".join(f"--accept {rule}" for rule in guards)
        lines.append(
            "Only the golden set stands against it. Where the world has changed and the set has not: review the set, "
            f'or `remint gate {accept} --reason "..." --by NAME`.'
        )
    return lines


def _reason(finding: Json) -> str:
    """The finding's own words without what the rule's name says already (``accuracy on fresh rows: ...`` stays)."""
    return prose(finding["reason"], longest=_LONGEST)


def _gains(gate: Json) -> list[str]:
    """The first rule that may stop a release, where it does not."""
    if Verdict(gate["verdict"]) is not Verdict.PASS:
        return []
    for finding in metric_findings(gate):
        seen, rule = finding["evidence"], str(finding["rule"])
        if not rule.startswith("gate:") or seen.get("challenger") is None:
            continue
        metric, rows = escape(rule.removeprefix("gate:")), f"{seen['rows']} {escape(seen['rows_name'])} rows"
        if seen.get("champion") is None:
            floor = "" if seen["floor"] is None else f", the floor is {seen['floor']:g}"
            return [f"**{metric}** {number(seen['challenger'])} on {rows}{floor}"]
        gap = difference(seen["champion"], seen["challenger"], seen["direction"], seen["interval"])
        between = "" if seen["interval"] is None else f" ({interval_words(seen['interval'])} with 95 % confidence)"
        numbers = f"{number(seen['champion'])} → {number(seen['challenger'])}"
        return [f"**{metric}** {numbers} on {rows}: {gap}{between}"]
    return []


def _accepted(gate: Json) -> list[str]:
    given = [
        f"**{escape(a['rule'], longest=60)}** accepted by {escape(a['by'], longest=60)}: "
        f"{escape(a['reason'], longest=120)}"
        for a in gate["accepted"]
    ]
    if not given:
        return []
    more = f"; and {len(given) - 2} more" if len(given) > 2 else ""
    return [f"✍️ {'; '.join(given[:2])}{more}"]


# -- why ---------------------------------------------------------------------------------------------------------------


def _why(decision: Json | None) -> list[str]:
    if decision is None:
        return []
    if decision["answer"] not in {"RETRAIN", "NEED_LABELS", "INVESTIGATE"} or "by hand" in decision["summary"][:20]:
        return [f"**Why:** {prose(decision['summary'], longest=_LONGEST)}"]
    fired = [short_reason(rule, decision) for rule in decision["rules"] if rule["fired"]]
    if not fired:
        return [f"**Why:** {prose(decision['summary'], longest=_LONGEST)}"]
    more = f"; and {len(fired) - _MOST_RULES} more" if len(fired) > _MOST_RULES else ""
    return [f"**Why:** {'; '.join(fired[:_MOST_RULES])}{more}"]


def short_reason(rule: Json, decision: Json) -> str:
    """A rule's reason in few words: the table of drift tells the rest."""
    reason = str(rule["reason"])
    moved = [f["field"] for f in rule["findings"] if f["field"] and f["verdict"] == Verdict.FAIL.value]
    if rule["kind"] != "drift" or not moved:
        return prose(reason.partition("; ")[0], longest=120)
    sigmas = {f["field"]: f["sigmas"] for f in decision["drift"] if f["sigmas"] is not None}
    named = [
        f"{escape(name, longest=40)} by {sigmas[name]:.2f} σ" if name in sigmas else escape(name, longest=40)
        for name in moved[:_MOST_FIELDS]
    ]
    more = f" and {len(moved) - _MOST_FIELDS} more" if len(moved) > _MOST_FIELDS else ""
    return f"{prose(reason.partition(':')[0], longest=40)}: {', '.join(named)}{more}"


# -- what waiting costs, who is worst off, how old, whose, how back ----------------------------------------------------


def _waiting(gate: Json, decision: Json | None, setting: Setting) -> str:
    found = cost_of_waiting(decision, gate)
    return escape(found.words(error_cost=setting.error_cost, currency=setting.currency))


def _worst_slice(gate: Json) -> str:
    slices: Sequence[Json] = gate.get("slices") or ()
    if not slices:
        return "none was measured"
    worst = ranked_slices(gate)[0]
    known = directions(gate)
    metric = str(worst["metric"])
    text = f"{mark(worst['verdict'])} {escape(worst['slice'], longest=60)}: {escape(metric)} "
    if worst["champion"] is None or worst["challenger"] is None:
        text += number(worst["challenger"])
    else:
        gap = difference(worst["champion"], worst["challenger"], direction_of(metric, known), worst["interval"])
        text += f"{number(worst['champion'])} → {number(worst['challenger'])}, {gap}"
    return f"{text} ({worst['rows']} rows, of {len(slices)} measured)"


def ranked_slices(gate: Json) -> list[Json]:
    """The slices of ``gate``, the worst first: failed, then passed and unanswered, each by what it lost.

    A slice without a champion's value is ranked by the challenger's own, behind those that can be compared.
    """
    known = directions(gate)

    def rank(found: Json) -> tuple[bool, bool, float, str]:
        sign = 1.0 if direction_of(str(found["metric"]), known) == "higher" else -1.0
        name, failed = str(found["slice"]), found["verdict"] == Verdict.FAIL.value
        if found["challenger"] is None:
            return not failed, True, float("inf"), name
        if found["champion"] is None:
            return not failed, True, sign * found["challenger"], name
        return not failed, False, sign * (found["challenger"] - found["champion"]), name

    return sorted(gate.get("slices") or (), key=rank)


def _evidence(gate: Json | None, decision: Json | None, verdict: Json | None) -> list[str]:
    """When each piece of evidence is from: an answer about last month is no answer about today."""
    parts = []
    if decision is not None:
        if decision["window"] is not None:
            window = decision["window"]
            parts.append(f"predictions of {minute(window['start'])} to {minute(window['end'])}")
        if decision["until"].get("arrived_at"):
            parts.append(f"feedback up to {minute(decision['until']['arrived_at'])}")
        if gate is None:
            parts.append(f"decided {minute(decision['created_at'])}")
    if gate is not None:
        later = ""
        if decision is not None:
            later = f", {span(parse_time(gate['created_at']) - _seen_until(decision))} after the newest of these"
        parts.append(f"gate run {minute(gate['created_at'])}{later}")
    if verdict is not None:
        parts.append(f"canary judged {minute(verdict['created_at'])}")
    return [f"**Evidence** (UTC): {'; '.join(parts)}"] if parts else []


def _seen_until(decision: Json) -> datetime:
    times = [decision["until"].get("arrived_at"), (decision["window"] or {}).get("end")]
    return max((parse_time(t) for t in times if t), default=parse_time(decision["created_at"]))


def _owners(owners: Sequence[str]) -> str:
    if not owners:
        return "nobody is named (`pull_request.owners` in params.yaml)"
    more = f" and {len(owners) - _MOST_OWNERS} more" if len(owners) > _MOST_OWNERS else ""
    return ", ".join(escape(owner, longest=60) for owner in owners[:_MOST_OWNERS]) + more


def undo(gate: Json, setting: Setting) -> str:
    """The one command that takes the model out of traffic again, during its canary and after it."""
    champion = gate["champion"]
    if champion is None:
        return 'before it serves, `remint freeze --reason "first model withdrawn"`; there is no model to go back to'
    environment = f" --environment {setting.environment}" if setting.environment else ""
    version, bundle = str(champion.get("version")), str(champion["bundle"])
    if _SAFE_VERSION.fullmatch(version):
        return f'`remint registry rollback --to {version}{environment} --reason "back to {version}"`'
    if not _SAFE_BUNDLE.fullmatch(bundle):  # what would be pasted into a shell is known, or not there
        return "`remint registry show` tells what served before"
    return (
        f"`remint canary start{environment} --bundle {bundle} && "
        f'remint canary promote{environment} --reason "back"` (the champion has no version)'
    )


# -- the title ---------------------------------------------------------------------------------------------------------


def pull_title(decision: Json | None, gate: Json | None) -> str:
    """The pull request's title: pipeline, verdict and its reason, in at most ``LONGEST_TITLE`` characters.

    It may become the first line of a commit, so nothing in it mentions, refers to or closes anything. Raises
    ValueError where there is neither document.
    """
    known = gate if gate is not None else decision
    if known is None:
        raise ValueError("a title of nothing: neither a decision nor a gate")
    why = "" if decision is None else _because(str(decision["summary"]))
    parts = [f"Retrain {known['pipeline']}"]
    if gate is not None:
        verdict = Verdict(gate["verdict"])
        detail = _gain(gate) if verdict is Verdict.PASS else _stopped_by(gate, verdict)
        parts.append(" ".join(part for part in (_SAID[verdict], detail) if part))
    title = ": ".join(parts)
    return plain(f"{title} ({why})" if why else title, longest=LONGEST_TITLE)


def plain(text: str, *, longest: int) -> str:
    """One line of letters, digits and harmless signs: no Markdown, HTML, mention, reference, shortcode or address."""
    kept = _SHORTCODE.sub(" ", _REFERENCE.sub(r"\1 ", clean(text, longest=4 * longest).replace("://", " ")))
    kept = "".join(c if c.isalnum() or c in " .,;:()+-−=/%&'→_" else " " for c in kept)
    line = " ".join(_OUTER_UNDERSCORE.sub(" ", kept).split())
    if len(line) <= longest:
        return line
    cut = line[: longest - 1].rpartition(" ")[0] or line[: longest - 1]
    return f"{cut.rstrip(' ,;:(')}…"


def _because(summary: str) -> str:
    """The reason without the answer, which the title says already."""
    answer, colon, reason = summary.partition(": ")
    return reason if colon and answer.isalpha() else summary


def _gain(gate: Json) -> str:
    """``accuracy 0.720 → 0.810`` of the first rule that may stop a release."""
    for finding in metric_findings(gate):
        seen = finding["evidence"]
        if finding["rule"].startswith("gate:") and seen.get("challenger") is not None:
            metric = finding["rule"].removeprefix("gate:")
            before = "" if seen.get("champion") is None else f"{seen['champion']:.3f} → "
            return f"with {metric} {before}{seen['challenger']:.3f}"
    return ""


def _stopped_by(gate: Json, verdict: Verdict) -> str:
    rules = [str(f["rule"]) for f in gate["findings"] if f["verdict"] == verdict.value]
    if not rules:
        return ""
    more = f" and {len(rules) - 1} more" if len(rules) > 1 else ""
    return f"by {rules[0].replace(':', ' ')}{more}"
