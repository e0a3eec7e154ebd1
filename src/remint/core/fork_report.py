"""What is said on a fork's pull request: a report by documents that the fork's own code wrote, which proves nothing."""

from __future__ import annotations

from remint.core.markdown import details
from remint.core.report import MAX_CHARACTERS


def fork_marker(pipeline: str) -> str:
    """By which the one comment of a pipeline is found; its author has to be us as well."""
    return f"<!-- remint:fork-report pipeline={pipeline} -->"


def fork_comment(pipeline: str, commit: str, report: str) -> str:
    """``report`` as ``core.report.markdown`` renders it, behind a line that says what it is worth.

    It is folded away, so that nobody takes its verdict for ours in passing, and without its marker, by which a report
    of ours is found.
    """
    text = report.partition("\n")[2] if report.startswith("<!--") else report
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"a report of {len(text)} characters")
    lead = (
        f"> ⚠️ **Computed by this pull request's own code, at `{commit[:12]}`: no verdict.** A fork's code could have "
        "written anything here. Nothing was checked but the form, and no status was set. A maintainer who wants the "
        "gate's word pushes the branch to this repository."
    )
    return f"{fork_marker(pipeline)}\n{lead}\n\n{details('What that code reports', text.strip())}\n"
