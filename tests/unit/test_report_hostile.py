"""Whatever data, people and parameters are called: the report has the same structure, mentions nobody, and fits."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from remint.core.document import DocumentKind, seal
from remint.core.pull_request import Proposal, body, read_proposal
from remint.core.report import MAX_BYTES, MAX_CHARACTERS, markdown, sections
from remint.core.report_gate import history_chart, slice_chart
from remint.core.report_head import LONGEST_TITLE, Setting, pull_title
from remint.workflows.report import read_evidence
from report_examples import PIPELINE, changes, decision, gate, reference, summary, with_more

GITHUB = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
OURS = re.compile(r"</?(?:details|summary)>|<!-- remint:report pipeline=[a-z-]+ -->")
CHART = re.compile(
    r'xychart-beta|title "[^"]*"|x-axis \[(?:"[^"]*"(?:, )?)*\]|y-axis "[^"]*" 0 --> [\d.e+-]+|(?:bar|line) \[.*\]'
)
PROPOSAL = Proposal(pipeline=PIPELINE, run_id="shop-1", bundle="sha256:" + "b" * 64, inputs="sha256:" + "d" * 64)
HOSTILE = [
    "</summary></details><script>alert(1)</script>",
    "<!-- remint:pull pipeline=shop run=x bundle=sha256:0 inputs=sha256:0 -->",
    "a | b | c",
    "@octo/team and #12, GH-12, closes #1",
    "```\n```mermaid\npie",
    '"] \nbar [1]\nclick x "javascript:alert(1)"',
    "![x](https://example.com/p.png) [y](https://example.com) https://example.com www.example.com",
    "# heading\n\n- item\n1. one\n> quote\n---",
    "\u202eright to left\u2066\u200f \u05e2\u05d1\u05e8\u05d9\u05ea",
    "🎉👩‍👩‍👧 :tada: :+1:",
    "**bold** _it_ ~~no~~ `code` $x$ \\",
    "&lt;b&gt; &#64;octocat",
    "x" * 5_000,
]


def evidence_of(name: str) -> dict[str, Any]:
    """Every document with ``name`` wherever a name, a reason or a value of somebody else may stand."""
    given = with_more(gate(notes=(name or "-",), accepted_by=name or "-", golden=(0.85, 0.42)), slices=14, name=name)
    told = decision(name or "-", summary=f"Retrain: {name}", reasons=[name])
    side = {"train": {name: 4, "b": 1}}
    told_changes = changes(
        schema_changes=[{"name": f"column {name}", "before": name, "now": None}],
        params=[{"name": name, "before": name, "now": name}],
        files=[{"name": name, "before": None, "now": "1"}],
        stages=[{"name": name, "action": "ran", "seconds": 1.0, "changed": [name] * 9}],
        labels=[{"side": "train", "name": name, "before": 0, "now": 9}],
        rows=[{"side": "train", "name": name, "before": 0, "now": 9}],
        notes=[name],
    )
    return {
        "gate": given,
        "decision": told,
        "changes": told_changes,
        "summary": summary(rows={"train": 5}, labels=side),
        "history": [gate(), gate()],
        "images_note": name,
    }


def report(name: str) -> str:
    setting = Setting(owners=(name, name), error_cost=2)
    return markdown(read_evidence(**evidence_of(name)), setting=setting, full=True)


def blocks(text: str) -> list[str]:
    return [token.type for token in GITHUB.parse(text)]


def inside(tokens: list[Token]) -> list[Token]:
    return [child for token in tokens for child in (token.children or [])]


PLAIN = blocks(report("plain"))


def check(name: str) -> None:
    text = report(name)
    tokens = GITHUB.parse(text)
    assert blocks(text) == PLAIN  # not a heading, cell, item or fence more
    found = inside(tokens)
    assert not {"link_open", "image"} & {token.type for token in found}
    for token in [*tokens, *found]:
        if token.type in {"html_block", "html_inline"}:
            assert not re.sub(OURS, "", token.content).count("<"), token.content
        if token.type == "fence":
            assert token.info == "mermaid"
            assert all(CHART.fullmatch(line.strip()) for line in token.content.splitlines() if line.strip()), (
                token.content
            )
    prose = re.sub(r"(?ms)^```.*?^```|`[^`\n]*`", "", text)
    assert not re.search(r"@(?!&#8203;)|(?<!&)#\w", prose)
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200e\u200f]", text)
    assert read_proposal(body(text, PROPOSAL), PIPELINE) == PROPOSAL  # and no line for machines is forged


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_changes_nothing_but_the_text(name: str) -> None:
    check(name)


@settings(max_examples=15)
@given(st.text(min_size=1, max_size=80))
def test_any_name_changes_nothing_but_the_text(name: str) -> None:
    check(name)


@given(st.text(max_size=300) | st.sampled_from(HOSTILE))
def test_a_title_is_one_short_line_without_markup_mention_or_reference(text: str) -> None:
    for summary_, gate_ in ((text, gate()), (f"Retrain: {text}", None)):
        title = pull_title(decision(summary=summary_), gate_)
        assert len(title) <= LONGEST_TITLE
        assert title == " ".join(title.split())
        assert not re.search(r"[@#<>`*\[\]|~$!\\]|://|GH-\d|:\w+:", title)
        assert title.startswith(f"Retrain {PIPELINE}")


def test_a_title_says_verdict_and_reason_at_a_glance() -> None:
    titles = [
        pull_title(decision(), gate()),
        pull_title(decision(), gate(golden=(0.85, 0.4))),
        pull_title(None, gate(rows=10)),
        pull_title(decision(), None),
    ]
    assert titles == [
        "Retrain shop: passed with accuracy 0.720 → 0.810 (features drifted: age by 0.95 sigma)",
        "Retrain shop: failed by guard accuracy (features drifted: age by 0.95 sigma)",
        "Retrain shop: inconclusive by gate accuracy",
        "Retrain shop (features drifted: age by 0.95 sigma)",
    ]
    with pytest.raises(ValueError, match="a title of nothing"):
        pull_title(None, None)


# -- length ------------------------------------------------------------------------------------------------------------


def large(name: str, *, columns: int = 400, slices: int = 200) -> dict[str, Any]:
    """As many columns that drifted, slices, classes and rules as anybody has; some names grow by being escaped."""
    fields = decision(name)["drift"]
    rule = decision()["rules"][0]
    told = decision(
        drift=[{**fields[0], "field": f"{name}{i}"} for i in range(columns)],
        rules=[{**rule, "name": f"{name}{i}", "reason": name * 3} for i in range(columns)],
        reasons=[name * 3] * columns,
    )
    known = with_more(gate(notes=(name * 3,) * 50), slices=slices, name=name)
    rules = [{**f, "rule": f"{f['rule']}{i}"} for i in range(60) for f in known["findings"]]
    kept = {k: v for k, v in known.items() if k not in {"schema", "id", "pipeline", "parents"}}
    classes = {f"{name}{i}": 3 for i in range(300)}
    many = [{"name": f"{name}{i}", "before": name, "now": name} for i in range(columns)]
    return {
        "gate": seal(DocumentKind.GATE, PIPELINE, {**kept, "findings": rules}),
        "decision": told,
        "summary": summary(labels=dict.fromkeys(summary()["labels"], classes)),
        "changes": changes(schema_changes=many, params=many, files=many),
        "history": [gate()] * 12,
    }


def test_four_hundred_columns_and_two_hundred_slices_fit_and_the_head_is_whole() -> None:
    name = "&|@`😀" * 50
    documents, setting = large(name), Setting(owners=(name,) * 50)
    evidence = read_evidence(**documents)
    short, full = markdown(evidence, setting=setting), markdown(evidence, setting=setting, full=True)
    assert len(short) <= MAX_CHARACTERS
    assert len(full.encode()) <= MAX_BYTES
    (lead,) = (part.text for part in sections(evidence, setting=setting) if part.name == "head")
    assert lead in short
    assert "_Left out for length: findings" in short
    assert len(body(short, PROPOSAL)) <= MAX_CHARACTERS


def test_charts_come_where_there_is_something_to_see() -> None:
    assert slice_chart(with_more(gate(), slices=2)) == ""
    assert "plan=3" in slice_chart(with_more(gate(), slices=5))
    assert history_chart([gate()], gate()) == ""
    assert history_chart([gate(), gate()], gate()).count("0.81") == 3
    assert reference()[0].pipeline == PIPELINE
