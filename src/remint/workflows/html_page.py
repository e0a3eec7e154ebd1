"""One self-contained HTML page: Markdown and plots inside, no network, no script. Needs the extra ``report``."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any, Final

from remint.errors import MissingExtraError
from remint.workflows.report_plots import drift_histograms

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1f2328; --paper: #ffffff; --line: #d1d9e0; --muted: #7d8590;
  --reference: #8c96a3; --current: #d9730d; --good: #1a7f37; --bad: #cf222e; --tint: #f6f8fa; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #e6edf3; --paper: #0d1117; --line: #30363d; --muted: #8d96a0;
  --reference: #6e7681; --current: #f0883e; --good: #3fb950; --bad: #f85149; --tint: #161b22; }} }}
body {{ margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; }}
h2 {{ margin-top: 0; font-size: 1.7rem; }} h3 {{ margin-top: 2.2rem; font-size: 1.15rem; }}
.scroll {{ overflow-x: auto; }} table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }}
th {{ font-weight: 600; border-bottom-width: 2px; white-space: nowrap; }}
code {{ font: .88em ui-monospace, monospace; background: var(--tint); padding: .1em .3em; border-radius: 4px;
  overflow-wrap: anywhere; }}
summary {{ cursor: pointer; font-weight: 600; margin-top: 1rem; }} svg {{ width: 100%; height: auto; }}
figure {{ margin: 1rem 0; }}
</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def require_extra() -> None:
    """Raises UsageError where the extra ``report`` is not installed; asked before any work is done."""
    try:
        import markdown_it

        from remint.adapters import plots  # noqa: F401 - that it can be had is seen before anything is rendered
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"{error.name} is not installed", hint="pip install 'remint[report]'") from None
    del markdown_it


def page(title: str, parts: Sequence[str]) -> str:
    """``parts`` are HTML; ``title`` is text."""
    return _PAGE.format(title=html.escape(title), body="\n".join(parts))


def to_html(markdown: str) -> str:
    """Our own Markdown as HTML; wide tables scroll.

    Its <details> are HTML; every text from data in it is escaped (core.markdown), and the page's
    Content-Security-Policy runs no script and loads nothing even if one were not.
    """
    from markdown_it import MarkdownIt

    text = str(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))
    return text.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")


def figure(svg: str, description: str) -> str:
    return f'<figure role="img" aria-label="{html.escape(description)}">{svg}</figure>'


def drift_figure(fields: Sequence[Mapping[str, Any]], *, name: str) -> str:
    """Reference beside window for each field of a decision's ``drift``; ``name`` is unique on the page."""
    from remint.adapters.plots import histograms

    return figure(
        histograms(drift_histograms(fields), name=name), "Share of rows by bin, in training and in the window"
    )
