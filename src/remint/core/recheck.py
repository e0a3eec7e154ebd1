"""Whether a recorded gate still speaks of what stands here now: one bundle, one champion, one set of rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from remint.core.verdict import Verdict

Json = Mapping[str, Any]


def stale_because(
    gate: Json | None,
    *,
    bundle: str,
    champion: Json | None,
    rules_id: str,
    accepted: Iterable[Json] = (),
) -> tuple[str, ...]:
    """Why the gate has to run anew, in sentences; empty where the recorded one holds.

    ``champion`` is ``{"tag", "version", "bundle"}`` of now, None where nothing was ever promoted. ``accepted`` are the
    recorded acceptances of this bundle: one of a rule that failed in this gate was given after it.
    """
    if gate is None:
        return ("no gate of this bundle was recorded",)
    if gate["challenger"]["bundle"] != bundle:
        return ("the recorded gate is of another bundle",)
    changed = []
    before = None if gate["champion"] is None else gate["champion"]["bundle"]
    if before != (None if champion is None else champion["bundle"]):
        changed.append(
            "there is no champion any more" if champion is None else f"the champion is now {champion_name(champion)}"
        )
    known = gate.get("rules_id")
    if known is None:
        changed.append("the recorded gate does not say by which rules it judged")
    elif known != rules_id:
        changed.append("the rules of the gate have changed")
    failed = {finding["rule"] for finding in gate["findings"] if finding["verdict"] == Verdict.FAIL.value}
    late = {str(a["rule"]): str(a["by"]) for a in accepted if a["rule"] in failed}
    changed += [f"{by} has accepted {rule}" for rule, by in sorted(late.items())]
    return tuple(changed)


def champion_name(champion: Json) -> str:
    """Its version, else its tag, else the head of its bundle's id."""
    return str(champion.get("version") or champion.get("tag") or str(champion["bundle"])[:19])
