"""A decision for people, in a terminal of 100 columns: in short, and with ``--explain`` with everything it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from remint.cli.common import stderr

if TYPE_CHECKING:
    from rich.table import Table

Json = dict[str, Any]

_BARS: Final = "▁▂▃▄▅▆▇█"
_SHOWN_FIELDS: Final = 5
_SHOWN_BINS: Final = 16
_WIDTH: Final = 100
_SIDE: Final = 24  # characters of a bar when a field is shown bin by bin
_SPREAD: Final = 3  # drifted fields that are shown bin by bin
_COLOURS: Final = {
    "RETRAIN": "bold yellow",
    "HOLD": "bold green",
    "INVESTIGATE": "bold red",
    "NEED_LABELS": "bold magenta",
    "INCONCLUSIVE": "bold",
}
_ROLES: Final = {"feature": "features", "prediction": "predicted classes", "confidence": "confidence"}


def show(decision: Json, *, recorded: bool) -> None:
    """The answer, every rule, and the fields that moved most; to stderr."""
    from rich.text import Text

    _headline(decision)
    stderr.print(_rules(decision["rules"]), width=_WIDTH)
    if decision["drift"]:
        stderr.print(_fields(decision["drift"][:_SHOWN_FIELDS], "most moved"), width=_WIDTH)
    where = f"recorded in the ledger as {decision['run_id']}" if recorded else "dry run: not recorded in the ledger"
    stderr.print(Text(f"  {where}", style="dim"))


def explain(decision: Json, *, recorded: bool) -> None:
    """All of it: each rule with its evidence, every field of every role, the drifted ones bin by bin; to stderr."""
    from rich.padding import Padding
    from rich.text import Text

    _headline(decision)
    stderr.print()
    stderr.print(_rules(decision["rules"], with_evidence=True), width=_WIDTH)
    for role, title in _ROLES.items():
        fields = [field for field in decision["drift"] if field["role"] == role]
        if fields:
            stderr.print()
            stderr.print(_fields(fields, title), width=_WIDTH)
    for field in [field for field in decision["drift"] if field["drifted"]][:_SPREAD]:
        stderr.print()
        stderr.print(_bins(field), width=_WIDTH)
    stderr.print()
    stderr.print(
        Padding(
            Text(
                "By chance alone, this check's statistical rules retrain with a probability of at most "
                f"{decision['alpha']:.2g}, all together. sigma: how far a field moved, in its own standard deviations. "
                "could see: the smallest shift that this check would have found in four of five cases. share: of all "
                "that moved. p: that it moved by no more than is called material, adjusted for the number of fields.",
                style="dim",
            ),
            (0, 2),
        ),
        width=_WIDTH,
        soft_wrap=False,
    )
    where = f"recorded in the ledger as {decision['run_id']}" if recorded else "dry run: not recorded in the ledger"
    stderr.print(Text(f"  {where}", style="dim"))


def histograms(reference: Sequence[int], current: Sequence[int]) -> tuple[str, str]:
    """Two rows of bars on one scale; neighbouring bins are added up where there are too many."""
    sides = [_shares(_at_most(counts, _SHOWN_BINS)) for counts in (reference, current)]
    highest = max(max(side) for side in sides) or 1.0
    drawn = ["".join(_bar(share / highest) for share in side) for side in sides]
    return drawn[0], drawn[1]


def _headline(decision: Json) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    answer = decision["answer"]
    sentence = decision["summary"].split(": ", 1)[-1]
    stderr.print(Text.assemble((answer, _COLOURS[answer]), "  ", sentence), width=_WIDTH, soft_wrap=False)
    reasons = [reason for reason in decision["reasons"] if reason not in sentence]
    if reasons:
        listed = Table.grid(padding=(0, 1, 0, 0))
        for reason in reasons:
            listed.add_row("  -", Text(reason))
        stderr.print(listed, width=_WIDTH, soft_wrap=False)
    window = decision["window"]
    span = f"{_short(window['start'])} to {_short(window['end'])}" if window else "empty"
    champion = decision["champion"]
    fresh = "unknown" if decision["fresh_labels"] is None else decision["fresh_labels"]
    said = f"{decision['rows']} predictions of {champion['version'] or champion['tag']}, window {span}"
    stderr.print(Padding(Text(f"{said}, {fresh} fresh labels", style="dim"), (0, 2)), width=_WIDTH, soft_wrap=False)


def _rules(rules: Sequence[Json], *, with_evidence: bool = False) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1), width=_WIDTH)
    table.add_column("rule", no_wrap=True)
    table.add_column("says", no_wrap=True)
    table.add_column("why", ratio=1)
    for rule in rules:
        if rule["state"] != "ok":
            said = Text((rule["silence"] or rule["state"]).replace("_", " "), style="magenta")
        else:
            said = Text("fired", style="yellow") if rule["fired"] else Text("quiet", style="green")
        why = Text(rule["reason"])
        if with_evidence:
            for line in _evidence(rule):
                why.append(f"\n{line}", style="dim")
        table.add_row(Text(rule["name"]), said, why)
    return table


def _evidence(rule: Json) -> list[str]:
    """The numbers behind a rule that are no field's drift: those stand in a table of their own."""
    lines = []
    if rule["active_since"] is not None:
        lines.append(f"its condition has held since {_short(rule['active_since'])}")
    if rule["kind"] not in {"drift", "integrity"}:
        for finding in rule["findings"]:
            shown = {k: v for k, v in finding["evidence"].items() if isinstance(v, int | float | str)}
            if shown:
                lines.append(", ".join(f"{key.replace('_', ' ')} {_number(value)}" for key, value in shown.items()))
    return lines


def _fields(drift: Sequence[Json], title: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1), width=_WIDTH)
    table.add_column(title, ratio=1, no_wrap=True, overflow="ellipsis")
    for heading in ("sigma", "PSI", "could see", "share", "p"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("training", no_wrap=True)
    table.add_column("window", no_wrap=True)
    for field in drift:
        smallest = field["smallest_detectable_sigmas"]
        reference, current = histograms(field["reference_counts"], field["current_counts"])
        table.add_row(
            Text(field["field"], style="yellow" if field["drifted"] else ""),
            f"{field['sigmas']:.2f}",
            f"{field['psi']:.3f}",
            "nothing" if smallest is None else f"{smallest:.2f}",
            f"{100 * field['share']:.0f} %",
            _probability(field["p_adjusted"]),
            reference,
            current,
        )
    return table


def _bins(field: Json) -> Table:
    """One field bin by bin: bars to the left are training, to the right the window."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1), width=_WIDTH)
    table.add_column(Text(field["field"], style="yellow"), ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("training", justify="right", no_wrap=True)
    table.add_column("window", no_wrap=True)
    sides = [_shares(field["reference_counts"]), _shares(field["current_counts"])]
    highest = max(max(side) for side in sides) or 1.0
    for label, before, now in zip(field["bin_labels"], *sides, strict=True):
        if before or now:
            table.add_row(
                Text(label),
                Text.assemble((_percent(before), ""), " ", ("█" * round(before / highest * _SIDE), "bright_black")),
                Text.assemble(("█" * round(now / highest * _SIDE), "yellow"), " ", (_percent(now), "")),
            )
    return table


def _bar(height: float) -> str:
    return " " if height == 0 else _BARS[min(len(_BARS) - 1, int(height * len(_BARS)))]


def _at_most(counts: Sequence[int], bins: int) -> list[int]:
    each = -(-len(counts) // bins)
    return [sum(counts[i : i + each]) for i in range(0, len(counts), each)]


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts) or 1
    return [count / total for count in counts]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.095 or share == 0 else f"{100 * share:.1f} %"


def _probability(p: float) -> str:
    return "< 1e-16" if p < 1e-16 else f"{p:.1g}" if p < 0.001 else f"{p:.3f}"


def _number(value: float | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _short(time: str) -> str:
    return time[:16].replace("T", " ") + "Z"
