"""``remint init``: a pipeline out of a data file, in an empty directory or in a repository that is there already.

Everything is decided and checked before anything is written.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from remint import __version__
from remint.adapters.datafile import read_raw
from remint.adapters.examples import Example, example_csv
from remint.adapters.frames import write_rows
from remint.adapters.modules import import_function, importable
from remint.adapters.scaffold import (
    MANIFEST,
    Action,
    Planned,
    Step,
    Treatment,
    begin_repositories,
    commit,
    git_root,
    ignored,
    is_in_git,
    plan_steps,
    track,
    write_steps,
)
from remint.config import parse_params
from remint.core.document import is_slug
from remint.core.file_diff import file_diff
from remint.core.golden import format_golden
from remint.core.schema import Kind
from remint.errors import RemintError, UsageError
from remint.workflows.adopt import Adopted, adopted_files, has_own, is_adopted, look
from remint.workflows.init_files import (
    Workflows,
    chart_files,
    pinned_once,
    template_files,
    workflow_files,
)
from remint.workflows.init_notes import advice, notes_of_adoption, notes_of_files, notes_of_workflows
from remint.workflows.init_params import FEEDBACK, Told, render_params
from remint.workflows.inspection import Inspection, inspect
from remint.workflows.upgrade import refuse_nameless, refuse_uncommitted

GOLDEN: Final = "golden/golden.jsonl"
_ESTIMATOR: Final = "--estimator"


@dataclass(frozen=True, slots=True, kw_only=True)
class InitRequest:
    """What the user asked for."""

    data: Path | None  # exactly one of data and example
    example: Example | None
    label: str | None
    pipeline: str | None
    time_column: str | None = None
    zone: str | None = None
    kinds: Mapping[str, Kind]
    estimator: str | None = None  # module:function
    parameters: Mapping[str, Any] = field(default_factory=dict)
    trusted_types: tuple[str, ...] = ()  # that the bundle may hold beyond those that everybody's may
    adopt: bool = False  # beside a pipeline of the team's own
    workflows: Workflows = Workflows.FULL
    workflows_from: str | None = None  # of reusable ones: owner/repository@commit
    chart: bool = False  # the chart itself too
    dry_run: bool = False
    commit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InitReport:
    """What was made, or would be. Paths are relative to the pipeline's directory."""

    pipeline: str
    inspection: Inspection
    steps: tuple[Step, ...]
    data: tuple[str, ...]  # of the steps' paths those that DVC tracks: never shown
    to_commit: tuple[str, ...]
    adopted: Adopted | None
    notes: tuple[str, ...]  # what a person has to know or do beside the files
    begun: tuple[str, ...] = ()  # "git init", "dvc init"
    committed: bool = False

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that change something."""
        return tuple(step for step in self.steps if step.action is not Action.KEEP)

    def diff(self, step: Step) -> str | None:
        """The unified diff of one step; None where it is no text, or data."""
        return None if step.path in self.data else file_diff(step.path, step.before, step.content)

    def to_json(self) -> dict[str, Any]:
        found = self.inspection
        return {
            "pipeline": self.pipeline,
            "label": found.label,
            "classes": list(found.classes),
            "columns": [{"name": c.name, "kind": c.kind.value, "reason": c.reason} for c in found.columns],
            "estimator": found.estimator,
            "rows": {
                "all": found.rows,
                "distinct": found.distinct_rows,
                "golden": found.golden.rows,
                "train": found.splits.train.rows,
                "held_out": found.splits.held_out.rows,
                "test": found.splits.test.rows,
            },
            "majority_share": found.majority_share,
            "warnings": list(found.warnings),
            "adopted": None if self.adopted is None else self.adopted.to_json(),
            "files": [
                {
                    "path": step.path,
                    "action": step.action.value,
                    "diff": None if step.action is Action.KEEP else self.diff(step),
                }
                for step in self.steps
            ],
            "notes": list(self.notes),
            "begun": list(self.begun),
            "to_commit": list(self.to_commit),
            "committed": self.committed,
        }


def initialise(
    request: InitRequest, directory: Path, *, before_writing: Callable[[InitReport], None] | None = None
) -> InitReport:
    """Make a pipeline in ``directory``. Running it again changes nothing.

    ``before_writing`` gets the report of what is about to be done, once all of it has been checked.
    Raises UsageError, with a list, where files are there that differ from what it would write; DataError where the data
    cannot be learned from. With ``dry_run`` nothing is written.
    """
    adopted = _adopted(request, directory)
    if request.commit and not request.dry_run:
        refuse_nameless(directory)
    with tempfile.TemporaryDirectory() as scratch:
        source, label = _source(request, Path(scratch), adopted)
        pipeline = _pipeline_slug(request.pipeline, source)
        inspection = inspect(
            read_raw(source),
            label=label,
            pipeline=pipeline,
            kinds=request.kinds,
            time_column=request.time_column,
            zone=request.zone,
        )
        if request.estimator is not None:
            inspection = replace(inspection, estimator=_known_estimator(request.estimator, directory))
        in_place = _in_place(source, directory, adopted)
        data = in_place or f"data/{source.name}"
        feedback = FEEDBACK if adopted is None else adopted.feedback
        if data == feedback:
            raise UsageError("is what the curated feedback is called", where=str(source), hint="rename the file")
        golden = _existing(directory / GOLDEN) or format_golden(inspection.golden)
        told = Told(
            parameters=request.parameters,
            trusted_types=request.trusted_types,
            feedback=feedback,
            info_files=() if adopted is None else adopted.info_files,
        )
        params = render_params(pipeline, data, inspection, golden, told)
        planned = [
            *_pipeline_files(directory, adopted, params, inspection.estimator),
            *(chart_files() if request.chart else []),
            Planned(path=GOLDEN, content=golden, treatment=Treatment.ONCE),
            *([] if in_place else [Planned(path=data, content=source.read_bytes())]),
            Planned(path=feedback, content=_empty_feedback(inspection, Path(scratch)), treatment=Treatment.ONCE),
        ]
    top = git_root(directory) or directory
    places = {directory.resolve(): pinned_once(planned, directory)}
    places.setdefault(top.resolve(), []).extend(workflow_files(request.workflows, top, source=request.workflows_from))
    plan = _planned(request, directory, places, inspection, adopted, (data, feedback))
    report = InitReport(pipeline=pipeline, inspection=inspection, adopted=adopted, **plan)
    if request.dry_run:
        return report
    if before_writing is not None:
        before_writing(report)
    return _carry_out(request, directory, places, report)


def _planned(
    request: InitRequest,
    directory: Path,
    places: Mapping[Path, Sequence[Planned]],
    inspection: Inspection,
    adopted: Adopted | None,
    data: tuple[str, str],
) -> dict[str, Any]:
    """What will be done, and all that could forbid it; ``data`` are the two files that DVC tracks if they are ours."""
    here = directory.resolve()
    steps = {place: plan_steps(place, planned, advise=advice) for place, planned in places.items()}
    by_dvc = [step.path for step in steps[here] if step.path in data]
    to_commit = [_shown(place, step.path, here) for place in steps for step in steps[place] if step.path not in by_dvc]
    to_commit += [f"{path}.dvc" for path in by_dvc]
    to_commit += sorted({(Path(path).parent / ".gitignore").as_posix() for path in by_dvc})
    to_commit += [_shown(place, MANIFEST.as_posix(), here) for place in steps if steps[place]]
    if unseen := ignored(directory, to_commit):
        raise UsageError(
            f"git is told to ignore what it has to keep: {', '.join(unseen)}",
            where=str(directory.resolve()),
            hint="nothing was written; for data/ write data/* with !data/*.dvc and !data/.gitignore below it",
        )
    if request.commit and not request.dry_run:
        for place, found in steps.items():
            refuse_uncommitted(place, [s.path for s in found if s.action is not Action.KEEP and s.before is not None])
    shown = [replace(s, path=_shown(place, s.path, here)) for place, found in steps.items() for s in found]
    return {
        "steps": tuple(sorted(shown, key=lambda s: s.path)),
        "data": tuple(by_dvc),
        "to_commit": tuple(sorted(to_commit)),
        "notes": tuple(_notes(request, here, steps, adopted, data[0], inspection.estimator)),
    }


def _carry_out(
    request: InitRequest, directory: Path, places: Mapping[Path, Sequence[Planned]], report: InitReport
) -> InitReport:
    here = directory.resolve()
    tracked = [step.path for step in report.steps if step.path in report.data and _needs_tracking(directory, step)]
    begun = begin_repositories(directory)
    done: list[Step] = []
    for place, planned in places.items():
        if planned:  # decided anew: .dvcignore was perhaps written by `dvc init` just now
            steps = plan_steps(place, planned)
            write_steps(place, steps, version=__version__)
            done += [replace(step, path=_shown(place, step.path, here)) for step in steps]
    if tracked:
        track(directory, tracked)
    to_commit = set(report.to_commit)
    if "dvc init" in begun:
        to_commit |= {".dvc/config", ".dvc/.gitignore"}
    to_commit = {path for path in to_commit if (directory / path).exists()}  # DVC ignores only what git does not yet
    committed = False
    if request.commit:
        committed = commit(directory, sorted(to_commit), f"Pipeline {report.pipeline}, made by remint init")
    return replace(
        report,
        steps=tuple(sorted(done, key=lambda s: s.path)),
        begun=tuple(begun),
        to_commit=tuple(sorted(to_commit)),
        committed=committed,
    )


def _adopted(request: InitRequest, directory: Path) -> Adopted | None:
    """What the team has, where ours is to go beside it. Asked for once; from then on params.yaml says so itself."""
    if request.adopt or is_adopted(directory):
        return look(directory)
    own = has_own(directory)
    if own:
        raise UsageError(
            f"{' and '.join(own)} {'is' if len(own) == 1 else 'are'} yours",
            where=str(directory.resolve()),
            hint="remint init --adopt puts Remint's stages and parameters beside yours; see them first with --dry-run",
        )
    return None


def _pipeline_files(directory: Path, adopted: Adopted | None, params: str, estimator: str) -> list[Planned]:
    if adopted is not None:
        return adopted_files(directory, adopted, params, estimator=estimator)
    return [Planned(path="params.yaml", content=_kept_params(directory, params).encode()), *template_files()]


def _kept_params(directory: Path, wanted: str) -> str:
    """A ``params.yaml`` that init made and a person went on with stays as it is, where it is of this very task."""
    path = directory / "params.yaml"
    if not path.is_file():
        return wanted
    text = path.read_text(encoding="utf-8")
    try:
        there, asked = parse_params(text), parse_params(wanted)
    except RemintError:
        return wanted
    same = there.pipeline == asked.pipeline and there.task.data == asked.task.data
    return text if same and there.task.label == asked.task.label else wanted


def _notes(
    request: InitRequest,
    here: Path,
    steps: Mapping[Path, Sequence[Step]],
    adopted: Adopted | None,
    data: str,
    estimator: str,
) -> list[str]:
    notes = [] if adopted is None else notes_of_adoption(adopted, data, estimator)
    notes += notes_of_files(here, steps[here])
    if request.workflows is not Workflows.NONE:
        notes += notes_of_workflows(here, steps, chart=request.chart)
    return notes


def _known_estimator(name: str, directory: Path) -> str:
    """Checked now: a wrong name would otherwise be found by the first `dvc repro`."""
    with importable(directory):
        import_function(name, where=_ESTIMATOR)
    return name


def _in_place(source: Path, directory: Path, adopted: Adopted | None) -> str | None:
    """The data file's path where it stays: one that git or DVC holds already is used as it is, not copied."""
    here = directory.resolve()
    if not source.resolve().is_relative_to(here):
        return None
    path = source.resolve().relative_to(here).as_posix()
    tracked = () if adopted is None else adopted.tracked
    if any(path == out or path.startswith(f"{out}/") for out in tracked):
        return path
    if is_in_git(directory, path):
        return path
    return path if path != f"data/{source.name}" and (directory / f"{path}.dvc").is_file() else None


def _shown(place: Path, path: str, here: Path) -> str:
    """Relative to the pipeline's directory, from wherever in the repository."""
    return path if place == here else Path(os.path.relpath(place / path, here)).as_posix()


def _source(request: InitRequest, scratch: Path, adopted: Adopted | None) -> tuple[Path, str]:
    """The data file and the label."""
    if request.example is not None:
        path = scratch / f"{request.example.value}.csv"
        path.write_bytes(example_csv(request.example))
        return path, request.label or request.example.label
    if request.data is None:
        hint = "remint init --data FILE --label COLUMN, or --example breast-cancer"
        if adopted is not None and (known := adopted.candidates()):
            hint = f"--data FILE: your stages know {', '.join(known[:6])}"
        raise UsageError("no data file", hint=hint)
    if request.label is None:
        raise UsageError("no label", hint="name the column to predict: --label COLUMN")
    maker = None if adopted is None else adopted.maker(request.data.as_posix())
    if maker is not None and not request.data.is_file():
        raise UsageError(
            f"is made by your stage {maker.name!r}, and is not here yet",
            where=str(request.data),
            hint="dvc repro, or dvc pull",
        )
    return request.data, request.label


def _pipeline_slug(given: str | None, source: Path) -> str:
    if given is not None:
        if not is_slug(given):
            raise UsageError(
                f"{given!r} is not a slug",
                where="--pipeline",
                hint="2 to 40 of a-z, 0-9 and dashes",
            )
        return given
    slug = re.sub(r"[^a-z0-9]+", "-", source.stem.lower()).strip("-").lstrip("0123456789-")[:40].strip("-")
    return slug if is_slug(slug) else "pipeline"


def _existing(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _empty_feedback(found: Inspection, scratch: Path) -> bytes:
    path = scratch / "feedback.parquet"
    write_rows(path, found.golden.take(np.zeros(0, dtype=np.int64)))
    return path.read_bytes()


def _needs_tracking(directory: Path, step: Step) -> bool:
    return step.action is not Action.KEEP or not (directory / f"{step.path}.dvc").is_file()
