"""Text from data never becomes markup, and histograms fit into a line."""

from __future__ import annotations

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from remint.core.markdown import clean, escape, mermaid_chart, sparkline, sparklines, table

GITHUB = MarkdownIt("commonmark", {"html": True, "linkify": False}).enable(["table", "strikethrough"])


@pytest.mark.parametrize(
    "hostile",
    [
        "a | b",
        "<script>alert(1)</script>",
        "<!-- gone -->",
        "`code`",
        "**bold** _it_ ~~no~~",
        "[text](https://example.com)",
        "![pixel](https://example.com/x.png)",
        "# heading",
        "- item",
        "1. item",
        "> quote",
        "&lt;already&gt;",
        "line\n\n## next",
        "```\nfence",
        "---",
        "\\",
        "a \\| b",
        "$x^2$",
    ],
)
def test_hostile_text_is_shown_as_it_is(hostile: str) -> None:
    rendered = GITHUB.render(f"| a |\n| --- |\n| {escape(hostile)} |")
    cell = rendered.split("<td>")[1].split("</td>")[0]
    assert "<" not in cell
    assert html.unescape(cell).replace("\u200b", "") == " ".join(hostile.split())
    assert rendered.count("<td>") == 1


@given(st.text())
def test_any_text_stays_in_its_list_item(text: str) -> None:
    rendered = GITHUB.render(f"- {escape(text)}\n- after")
    assert rendered.count("<li>") == 2
    assert "<p>" not in rendered
    inside = rendered.split("<li>")[1].split("</li>")[0]
    assert "<" not in inside
    assert html.unescape(inside).replace("\u200b", "") == (clean(text) or ("\ufffd" if text else "")).replace(
        "\u200b", ""
    )


@pytest.mark.parametrize(
    "text", ["@octocat", "a@octocat.example", "#12", "org/repo#12", "GH-12", "www.example.com", "https://example.com"]
)
def test_nobody_is_mentioned_and_nothing_is_linked(text: str) -> None:
    assert "&#8203;" in escape(text)


def test_long_and_invisible_text_is_cut_to_one_visible_line() -> None:
    assert clean("a\u202eb\u0000c\ud800\td\r\ne") == "ab c d e"
    assert len(clean("x" * 10_000)) == 300
    assert escape("x" * 10_000, longest=10) == "xxxxxxxxx…"


def test_a_table_aligns_numbers_to_the_right() -> None:
    assert table(["a", "b"], [["x", "1"]], right=(1,)) == "| a | b |\n| --- | --: |\n| x | 1 |"


def test_sparklines_share_one_scale_and_show_empty_bins() -> None:
    assert sparklines([0, 10, 10], [0, 0, 20]) == ("·▅▅", "··█")


def test_a_sparkline_of_nothing_is_dots() -> None:
    assert sparkline([0, 0, 0]) == "···"
    assert sparkline([]) == ""


def test_many_bins_are_joined_to_fit_a_cell() -> None:
    assert len(sparkline([1] * 52)) <= 24


def test_a_chart_holds_no_syntax_from_data() -> None:
    chart = mermaid_chart('x"]\n```\nbar [9]', ['a"]; %% {', "< 3"], [0.25, 0.75], [0.5, 0.5], unit="share")
    lines = chart.splitlines()
    assert len(lines) == 8
    assert lines[3] == '    x-axis ["a", "below 3"]'
    assert chart.count("```") == 2
    assert chart.count('"') == 8
