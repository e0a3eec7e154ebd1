"""The report: enough to decide in its first lines, honest about what is missing, never too long."""

from __future__ import annotations

import argparse
import re
import shlex
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from remint.cli import registry
from remint.core.document import DocumentKind, seal
from remint.core.report import MAX_BYTES, MAX_CHARACTERS, markdown
from remint.core.report_head import MOST_LINES, Setting, head, undo
from remint.errors import DocumentError, UsageError
from remint.workflows.report import read_evidence, render_html, render_report
from report_examples import BUNDLE, OLD_BUNDLE, decision, gate, summary

EVERYONE = Setting(owners=("Ada", "@org/team"), error_cost=0.5, currency="EUR", environment="prod")


def top(text: str) -> str:
    return "\n".join(text.splitlines()[:15])


def head_of(text: str) -> list[str]:
    """The lines up to the first table: what a reader sees before scrolling."""
    lines = text.splitlines()
    return lines[: next((i for i, line in enumerate(lines) if line.startswith(("| ", "### "))), len(lines))]


def report(setting: Setting | None = None, **documents: Any) -> str:
    return markdown(read_evidence(**documents), setting=setting)


def test_the_first_lines_are_enough_to_decide() -> None:
    text = report(EVERYONE, gate=gate(), decision=decision(), summary=summary())
    assert text.startswith("<!-- remint:report pipeline=shop -->\n## ✅ Gate passed: shop\n**Merging** releases")
    assert "- **accuracy** 0.720 → 0.810 on 270 fresh rows: +0.090 ▲ (+0.070 to +0.110 with 95 % confidence)" in top(
        text
    )
    assert "- **Why:** features drifted: age by" in top(text)
    assert "- **Waiting a week:** " in top(text)
    assert "- **Worst slice:** none was measured" in top(text)
    assert "gate run 2026-11-21 12:00, 2 h after the newest of these" in top(text)
    assert "- **Decides:** Ada, @&#8203;org/team" in top(text)
    assert '- **Undo:** `remint registry rollback --to v1.0.0 --environment prod --reason "back to v1.0.0"`' in top(
        text
    )
    table = text.replace("\u00a0", " ")
    assert "| ✅ gate:accuracy | fresh 270 | 0.720 | 0.810 | +0.090 ▲ (+0.070 to +0.110) | −0.02, ≥ 0.6 |" in table
    assert "0.850 | 0.840 | −0.010 ≈ (−0.030 to +0.010)" in text


@pytest.mark.parametrize(
    "documents",
    [
        {"gate": gate(), "decision": decision()},
        {"gate": gate(golden=(0.85, 0.42), fresh=(0.9, 0.7), rows=270), "decision": decision()},
        {"gate": gate(golden=(0.85, 0.42)), "decision": decision()},
        {"gate": gate(rows=10, boot=False), "decision": decision()},
        {"gate": gate(fresh=(None, 0.8), golden=(None, 0.8))},
        {"gate": gate(golden=(0.85, 0.42), accepted_by="Ada"), "decision": decision()},
        {"gate": None, "decision": decision()},
    ],
    ids=["pass", "fail", "guard", "inconclusive", "first model", "accepted", "no gate"],
)
def test_the_head_has_fifteen_lines_at_most_and_all_the_answers(documents: dict[str, Any]) -> None:
    head = "\n".join(head_of(report(EVERYONE, **documents))).rstrip()
    assert len(head.splitlines()) <= 15
    asked = (
        ["Evidence"] if documents["gate"] is None else ["Waiting a week", "Worst slice", "Evidence", "Decides", "Undo"]
    )
    for question in asked:
        assert f"- **{question}" in head


def test_the_longest_head_still_has_fifteen_lines() -> None:
    """Three that stop it and more, a hint, an acceptance: made by hand, since no gate has all of that at once."""
    failed = gate(golden=(0.85, 0.42))
    guard = next(f for f in failed["findings"] if f["verdict"] == "fail")
    given = {"rule": "guard:x", "by": "Ada", "reason": "y", "bundle": BUNDLE, "at": "2026-11-21T12:00:00.000000Z"}
    worst = {**failed, "findings": [{**guard, "rule": f"guard:m{i}"} for i in range(9)], "accepted": [given] * 9}
    text = head("shop", gate=worst, decision=decision(), setting=EVERYONE)
    assert len(text.splitlines()) == MOST_LINES
    assert "_And 6 more, below._" in text
    assert "; and 7 more" in text


def test_a_failed_gate_says_first_what_stops_it_and_how_a_guard_is_accepted() -> None:
    text = render_report(gate=gate(golden=(0.85, 0.42)), decision=decision())
    assert "## ❌ Gate failed: shop\n**Do not merge.**" in text
    assert "- ❌ **guard:accuracy**: accuracy on golden rows" in top(text)
    assert "remint gate --accept guard:accuracy" in top(text)
    assert "−0.430 ▼" in text


def test_no_way_around_the_gate_itself_is_offered() -> None:
    assert "--accept" not in render_report(gate=gate(fresh=(0.9, 0.7), golden=(0.85, 0.42)))


def test_too_little_data_is_not_called_a_pass() -> None:
    text = render_report(gate=gate(rows=10))
    assert "## ❔ Gate inconclusive: shop\n**Not to be merged yet**" in text
    assert "10 distinct rows, the gate needs 50" in top(text)


def test_an_acceptance_stands_at_the_top_with_its_name() -> None:
    text = render_report(gate=gate(golden=(0.85, 0.42), accepted_by="Ada @everyone"))
    assert "## ✅ Gate passed" in text
    assert "accepted by Ada @&#8203;everyone: a new world" in top(text)


def test_the_first_model_has_no_champion_and_no_decision() -> None:
    text = render_report(gate=gate(fresh=(None, 0.8), golden=(None, 0.8)))
    assert "**Merging** makes this the first model" in text
    assert "| – | 0.800 | – | ≥\u00a00.6 |" in text
    assert "there is no model to go back to" in top(text)
    assert "**Waiting a week:** the cost cannot be told: there is no champion to compare with" in top(text)


def test_no_version_and_no_bundle_that_a_shell_would_read_is_put_into_a_command() -> None:
    for version, bundle in (("v1.0.0; rm -rf /", OLD_BUNDLE), ("$(id)", "sha256:`id`")):
        said = undo({**gate(), "champion": {"tag": "t", "version": version, "bundle": bundle}}, Setting())
        assert version not in said
        assert "`id`" not in said


def test_a_champion_without_a_version_is_gone_back_to_by_its_bundle() -> None:
    known = {**gate(), "champion": {"tag": "shop#stable#1", "version": None, "bundle": OLD_BUNDLE}}
    assert f"`remint canary start --bundle {OLD_BUNDLE} && remint canary promote --reason" in undo(known, Setting())


@pytest.mark.parametrize("setting", [Setting(), EVERYONE])
def test_the_undo_is_a_command_that_the_command_line_takes(setting: Setting) -> None:
    command = undo(gate(), setting).strip("`")
    arguments = shlex.split(command)
    assert arguments[0] == "remint"
    assert arguments[1] == "registry"
    parser = argparse.ArgumentParser()
    registry.configure(parser)
    parsed = parser.parse_args(arguments[2:])
    assert (str(parsed.to), parsed.environment) == ("v1.0.0", setting.environment)


def test_drift_is_shown_as_small_pictures() -> None:
    text = render_report(gate=None, decision=decision())
    assert text.startswith("<!-- remint:report pipeline=shop -->\n## 🔁 Retrain: shop\n")
    assert re.search(r"\| age \| [\d.]+ σ \(PSI [\d.]+\) \| `[·▁-█]+` \| `[·▁-█]+` \|", text)
    assert "```mermaid\nxychart-beta" in text


def test_what_did_not_drift_is_not_called_drift() -> None:
    text = render_report(gate=None, decision=decision(shift=0.0))
    assert "### No field drifted; those that moved most" in text
    assert "mermaid" not in text


def test_added_and_quarantined_data_are_counted() -> None:
    text = render_report(gate=gate(), summary=summary())
    assert "| to train | 10 | 4 | 6 | yes 7, no 3 |" in text
    assert "900 curated rows, put aside: contradiction 12." in text
    assert "equal to a golden row: 60" in text


def test_a_service_that_was_not_booted_is_said_to_be_unchecked() -> None:
    assert "❔ Not checked" in render_report(gate=gate(boot=False))


def test_a_canary_verdict_is_reported_alone() -> None:
    body = {
        "created_at": "2026-11-21T12:00:00.000000Z",
        "release": "r3",
        "step": 1,
        "answer": "ROLLBACK",
        "summary": "Roll back: errors",
        "findings": [{"rule": "error", "verdict": "fail", "reason": "12 of 90 units saw an error"}],
    }
    text = render_report(gate=None, verdict=seal(DocumentKind.VERDICT, "shop", body))
    assert "## ⏪ roll back the canary of shop" in text
    assert "12 of 90 units saw an error" in text


def test_names_from_data_do_no_harm() -> None:
    text = render_report(gate=None, decision=decision("<b>|@all`\n#1"))
    line = next(line for line in text.splitlines() if "σ (PSI" in line)
    assert line.startswith("| &lt;b&gt;\\|@&#8203;all\\` #&#8203;1 |")
    page = render_html(gate=None, decision=decision("<b>|@all`\n#1"))
    assert "<b>" not in page


def test_however_much_there_is_it_fits_and_says_what_is_missing() -> None:
    rule = {**decision()["rules"][0], "reason": "x" * 290}
    long = decision(rules=[rule] * 400)
    text = render_report(gate=gate(notes=("n" * 290,) * 20), decision=long)
    assert len(text) <= MAX_CHARACTERS
    assert "## ✅ Gate passed" in text
    assert "_Left out for length: findings. The whole is in the job summary" in text
    assert "remint ledger --run shop-20261121T100000Z-0a1b2c --file report-full.md" in text
    full = render_report(gate=gate(notes=("n" * 290,) * 20), decision=long, full=True)
    assert MAX_CHARACTERS < len(full.encode()) <= MAX_BYTES
    assert "Left out" not in full


def test_the_same_documents_give_the_same_text_and_page() -> None:
    documents: dict[str, Any] = {"gate": gate(), "decision": decision(), "summary": summary()}
    assert render_report(**documents) == render_report(**documents)
    assert render_html(**documents) == render_html(**documents)


def test_the_page_needs_no_network_and_runs_no_script() -> None:
    page = render_html(gate=gate(), decision=decision(), summary=summary())
    assert page.count("<svg") == 2
    assert "mermaid" not in page
    assert "<script" not in page
    assert "default-src 'none'" in page
    addresses = set(re.findall(r"https?://[\w./-]+", page))
    assert all(address.startswith("http://www.w3.org/") for address in addresses), addresses
    for svg in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL):
        ET.fromstring(svg)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert "#010203" not in page


@pytest.mark.parametrize(
    ("documents", "error", "message"),
    [
        ({"gate": None}, UsageError, "nothing to report"),
        ({"gate": {**gate(), "verdict": "pass "}}, DocumentError, "changed after it was written"),
        ({"gate": gate(), "summary": summary(pipeline="other")}, UsageError, "different pipelines: other, shop"),
    ],
)
def test_what_cannot_be_reported_is_refused(documents: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        render_report(**documents)


def test_bundle_ids_stand_in_the_evidence() -> None:
    assert BUNDLE in render_report(gate=gate())
