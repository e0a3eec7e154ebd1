"""The steps of a retrain in its own checkout, each of which can be done again: train, push the data, commit, gate."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from remint.adapters.dvc import Dvc, Progress
from remint.adapters.git import HOOKLESS, Git
from remint.adapters.ledger import Ledger
from remint.adapters.params_file import write_earlier, write_until
from remint.adapters.registry import champion as find_champion
from remint.config import Params
from remint.core.document import DocumentKind, format_time, parse_time, unseal
from remint.core.ledger import acceptances
from remint.errors import DataError, RemintError, ServiceError
from remint.workflows.earlier import earlier_champions
from remint.workflows.feedback import FeedbackSource, export_feedback
from remint.workflows.gate import run_gate
from remint.workflows.gate_context import recorded_metrics
from remint.workflows.retrain_branch import TRAILERS

BUNDLE: Final = "artifacts/bundle"
_MOST_HISTORY: Final = 12  # gates

Json = Mapping[str, Any]


def reproduce(
    params: Params, git: Git, tree: Git, dvc: Dvc, *, until: Json, source: Callable[[], FeedbackSource], say: Progress
) -> None:
    """Feedback up to ``until`` into the tracked file, what competes into params.yaml, then ``dvc repro``.

    ``params`` are those of the checkout ``tree``, ``git`` the repository it belongs to.
    """
    feedback = params.prepare.feedback
    tracked = tree.run("ls-files", "--", "*.dvc").splitlines()
    # An older decision than what was learned already takes nothing back.
    if int(until["sequence"]) > params.prepare.until.sequence:
        tracked = [path for path in tracked if path != f"{feedback}.dvc"]
        curated = export_feedback(
            params, tree.path, source(), until=int(until["sequence"]), output=tree.path / feedback
        )
        say(f"feedback: {curated.kept.rows} rows, put aside {curated.quarantine_counts or 'none'}")
        write_until(tree.path / "params.yaml", sequence=int(until["sequence"]), arrived_at=until.get("arrived_at"))
        dvc.add(feedback)
    if tracked:
        dvc.pull(*tracked)
    earlier = earlier_champions(git, params.pipeline, count=params.train.earlier_champions)
    if earlier != params.train.earlier:
        write_earlier(tree.path / "params.yaml", [champion.model_dump() for champion in earlier])
    if earlier:
        say(f"earlier champions compete: {', '.join(champion.tag for champion in earlier)}")
    dvc.repro()


def publish_data(dvc: Dvc) -> None:
    """Raises ServiceError unless the remote is seen to have all of it."""
    dvc.push()
    missing = dvc.not_in_remote()
    if missing:
        raise ServiceError(f"dvc push left {len(missing)} behind, such as {missing[0]}", where="DVC remote")


def commit(tree: Git, dvc: Dvc, *, pipeline: str, decision: Json, bundle: str) -> str:
    """The commit of this run; the same decision on the same base gives the same id."""
    tree.run("add", "--update", "--", ".")
    candidates = ["dvc.lock", *dvc.outputs()]
    candidates += tree.run("ls-files", "--others", "--exclude-standard", "--", "*.dvc", "*.gitignore").splitlines()
    ignored = {path for path in candidates if tree.succeeds("check-ignore", "--quiet", "--", path)}
    tree.run("add", "--", *(path for path in candidates if path not in ignored))
    values = (decision["run_id"], decision["id"], bundle)
    trailers = "\n".join(f"{key}: {value}" for key, value in zip(TRAILERS, values, strict=True))
    message = f"Retrain {pipeline}\n\n{decision['summary']}\n\n{trailers}\n"
    at = format_time(parse_time(decision["created_at"]))
    environment = {**tree.identity, "GIT_AUTHOR_DATE": at, "GIT_COMMITTER_DATE": at}
    tree.run(*HOOKLESS, "commit", "--quiet", "--file=-", stdin=message.encode(), env=environment)
    return tree.head()


def gate(
    params: Params, git: Git, dvc: Dvc, directory: Path, *, ledger: Ledger, decision: Json, now: datetime, say: Progress
) -> dict[str, Any]:
    """The challenger in ``directory`` against the champion of the registry, or against the declared floors."""
    champion = find_champion(git, params.pipeline)
    known: dict[str, Any] | None = None
    say(f"gate: against {champion.tag if champion else 'the declared floors'}")
    with tempfile.TemporaryDirectory(prefix="remint-gate-") as scratch:
        bundle = None
        if champion is not None:
            bundle = dvc.materialise(git, champion.commit, BUNDLE, Path(scratch) / "champion")
            manifest = read_json(bundle / "manifest.json")
            known = {"tag": champion.tag, "version": champion.version, "bundle": manifest["id"]}
        return run_gate(
            params,
            directory=directory,
            champion_bundle=bundle,
            champion=known,
            champion_metrics=None if champion is None else recorded_metrics(git, champion.commit),
            acceptances=acceptances(ledger.entries(), str(decision["run_id"])),
            now=now,
            parents=[str(decision["id"])],
        )


def earlier_gates(ledger: Ledger, *, run_id: str) -> Sequence[dict[str, Any]]:
    """The last gates of other runs, the oldest first. One that cannot be read any more is left out: it informs."""
    found = []
    for other, content in ledger.attachments("gate.json").items():
        try:
            if other != run_id:
                found.append(unseal(json.loads(content), DocumentKind.GATE, where=f"gate.json of {other}"))
        except (ValueError, RemintError):
            continue
    return sorted(found, key=lambda document: str(document["created_at"]))[-_MOST_HISTORY:]


def dump_json(document: Json) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError("the pipeline did not write it", where=str(path), hint="is it an output in dvc.yaml?") from None
    except ValueError:
        raise DataError("not JSON", where=str(path)) from None
    if not isinstance(document, dict):
        raise DataError("not a JSON object", where=str(path))
    return document
