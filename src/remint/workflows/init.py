"""``remint init``: a pipeline out of a data file. Everything is decided and checked before anything is written."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Any, Final

import numpy as np
import yaml

from remint import __version__
from remint.adapters.datafile import read_raw
from remint.adapters.examples import Example, example_csv
from remint.adapters.files import write_atomically
from remint.adapters.frames import write_rows
from remint.adapters.scaffold import (
    MANIFEST,
    Action,
    Planned,
    Step,
    Treatment,
    begin_repositories,
    commit,
    dvc_root,
    git_root,
    plan_steps,
    track,
    write_steps,
)
from remint.config import Evaluate, Gate, load_params, parse_params
from remint.core.document import is_slug
from remint.core.golden import draw_golden, format_golden, golden_hash, golden_size
from remint.core.schema import Kind
from remint.errors import DataError, UsageError
from remint.workflows.inspection import Inspection, inspect, series_estimate
from remint.workflows.lock import attributes_file
from remint.workflows.prepare import read_task_data

GOLDEN: Final = "golden/golden.jsonl"
FEEDBACK: Final = "data/feedback.parquet"


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
    workflows: bool = True  # .github/ too
    dry_run: bool = False
    commit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InitReport:
    """What was made, or would be."""

    pipeline: str
    inspection: Inspection
    steps: tuple[Step, ...]
    begun: tuple[str, ...]  # "git init", "dvc init"
    to_commit: tuple[str, ...]  # paths for git, relative to the pipeline's directory
    committed: bool

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
            "files": [{"path": step.path, "action": step.action.value} for step in self.steps],
            "begun": list(self.begun),
            "to_commit": list(self.to_commit),
            "committed": self.committed,
        }


def initialise(request: InitRequest, directory: Path) -> InitReport:
    """Make a pipeline in ``directory``. Running it again changes nothing.

    Raises UsageError, with a list, where files are there that differ from what it would write; DataError where the data
    cannot be learned from. With ``dry_run`` nothing is written.
    """
    with tempfile.TemporaryDirectory() as scratch:
        source, label = _source(request, Path(scratch))
        pipeline = _pipeline_slug(request.pipeline, source)
        inspection = inspect(
            read_raw(source),
            label=label,
            pipeline=pipeline,
            kinds=request.kinds,
            time_column=request.time_column,
            zone=request.zone,
        )
        data = f"data/{source.name}"
        if data == FEEDBACK:
            raise UsageError("is what the curated feedback is called", where=str(source), hint="rename the file")
        golden = _existing(directory / GOLDEN) or format_golden(inspection.golden)
        planned = [
            Planned(path="params.yaml", content=render_params(pipeline, data, inspection, golden).encode()),
            *template_files(),
            *(_workflow_files(directory) if request.workflows else []),
            Planned(path=GOLDEN, content=golden, treatment=Treatment.ONCE),
            Planned(path=data, content=source.read_bytes()),
            Planned(path=FEEDBACK, content=_empty_feedback(inspection, Path(scratch)), treatment=Treatment.ONCE),
        ]
        steps = plan_steps(directory, planned)
    begun: list[str] = []
    tracked = [path for path in (data, FEEDBACK) if _needs_tracking(directory, path, steps)]
    committed = False
    to_commit = [s.path for s in steps if s.path not in {data, FEEDBACK}]
    to_commit += [f"{data}.dvc", f"{FEEDBACK}.dvc", "data/.gitignore", MANIFEST.as_posix()]
    if not request.dry_run:
        begun = begin_repositories(directory)
        # .dvcignore was perhaps written by `dvc init` just now
        steps = [*plan_steps(directory, [p for p in planned if p.treatment is Treatment.LINES]), *_not_lines(steps)]
        write_steps(directory, steps, version=__version__)
        if tracked:
            track(directory, tracked)
        root = dvc_root(directory)
        if root == directory.resolve():
            to_commit += [".dvc/config", ".dvc/.gitignore"]
        if request.commit:
            committed = commit(directory, to_commit, f"Pipeline {pipeline}, made by remint init")
    return InitReport(
        pipeline=pipeline,
        inspection=inspection,
        steps=tuple(sorted(steps, key=lambda s: s.path)),
        begun=tuple(begun),
        to_commit=tuple(sorted(to_commit)),
        committed=committed,
    )


def redraw_golden(directory: Path) -> int:
    """Draw the golden set again from the declared columns, and put its hash into ``params.yaml``; the number of rows.

    For a change of ``task.columns``. Both files change, so that a review sees it.
    """
    path = directory / "params.yaml"
    params = load_params(path)
    rows = read_task_data(params, directory).rows
    size = golden_size(len(set(rows.keys.tolist())))
    drawn = rows.take(draw_golden(rows, size=size, salt=f"{params.pipeline}:{params.prepare.seed}"))
    if drawn.rows == 0:
        raise DataError("too few distinct rows to draw a golden set from", where=params.task.data)
    content = format_golden(drawn)
    text, changed = re.subn(
        rf"(\bsha256:\s*[\"']?){re.escape(params.prepare.golden.sha256)}\b",
        rf"\g<1>{golden_hash(content)}",
        path.read_text(encoding="utf-8"),
    )
    if changed != 1:
        raise UsageError("cannot find prepare.golden.sha256", where=str(path), hint="write it on a line of its own")
    write_atomically(directory / params.prepare.golden.path, content.decode("ascii"))
    write_atomically(path, text)
    return drawn.rows


def template_files() -> list[Planned]:
    """The files that are the same in every pipeline, from the one source of them: ``remint/templates``."""
    templates = files("remint") / "templates"
    requirements = Template((templates / "requirements.txt").read_text(encoding="utf-8"))
    stages = [
        Planned(path=f"stages/{name}.py", content=(templates / "stages" / f"{name}.py").read_bytes())
        for name in ("prepare", "train", "evaluate")
    ]
    return [
        Planned(path="dvc.yaml", content=(templates / "dvc.yaml.template").read_bytes()),
        *stages,
        Planned(
            path="requirements.txt",
            content=requirements.substitute(version=__version__).encode(),
            treatment=Treatment.LINES,
        ),
        Planned(path=".gitignore", content=(templates / "gitignore").read_bytes(), treatment=Treatment.LINES),
        Planned(path=".dvcignore", content=(templates / "dvcignore").read_bytes(), treatment=Treatment.LINES),
        attributes_file(),
        Planned(path="Dockerfile", content=(templates / "Dockerfile").read_bytes(), treatment=Treatment.ONCE),
        Planned(path=".dockerignore", content=(templates / "dockerignore").read_bytes(), treatment=Treatment.ONCE),
    ]


def _workflow_files(directory: Path) -> list[Planned]:
    """GitHub reads workflows at the repository's top alone, so a pipeline in a subdirectory gets none here."""
    source = files("remint") / "templates" / "github"
    root = git_root(directory)
    if not source.is_dir() or (root is not None and root.resolve() != directory.resolve()):
        return []
    return [Planned(path=f".github/{name}", content=content) for name, content in sorted(_walk(source, ""))]


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found.extend(_walk(entry, f"{prefix}{entry.name}/"))
        elif not entry.name.endswith((".py", ".pyc")):
            found.append((f"{prefix}{entry.name}", entry.read_bytes()))
    return found


def render_params(pipeline: str, data: str, found: Inspection, golden: bytes) -> str:
    """``params.yaml`` with its comments; checked, so that init never writes what the stages would refuse."""
    template = Template((files("remint") / "templates" / "params.yaml.template").read_text(encoding="utf-8"))
    golden_rows = golden.count(b"\n")
    splits = found.splits
    metrics = [metric.value for metric in Evaluate().metrics] + (["roc_auc"] if found.positive is not None else [])
    chance = (
        f"{found.majority_share:.3f} of the rows have the most frequent label"
        if found.balanced
        else f"{found.majority_share:.3f} of the rows have one label, so accuracy alone would flatter; chance is "
        f"{1 / len(found.classes):.3f}"
    )
    text = template.substitute(
        pipeline=pipeline,
        data=_scalar(data),
        label=_scalar(found.label),
        label_note=f"{len(found.classes)} classes",
        columns="\n".join(f"    {_scalar(c.name)}: {c.kind.value}  # {_comment(c.reason)}" for c in found.columns),
        time=_time_lines(found),
        positive=(
            f"  positive: {_scalar(found.positive)}  # the class that roc_auc is about"
            if found.positive is not None
            else "  positive: null  # a class, for precision, recall and roc_auc; needs two classes"
        ),
        duplicates="drop" if found.drop_duplicates else "keep",
        duplicates_note=f"{found.distinct_rows} of {found.rows} rows are distinct; equal rows never straddle a split",
        golden_rows=golden_rows,
        golden_sha256=_scalar(golden_hash(golden)),
        estimator=found.estimator,
        metrics=", ".join(metrics),
        info_files="[]",
        min_rows=min(Gate.model_fields["min_rows"].default, golden_rows, splits.test.rows),  # what the file can show
        gate_metric=found.gate_metric,
        floor=found.floor,
        majority_note=chance,
        wrong_limit=max(500, splits.train.rows // 4),
        max_series=series_estimate(found),
    )
    parse_params(text)
    return text


def _time_lines(found: Inspection) -> str:
    if found.time is None:
        return "  time: null  # with a time column the split is by time: {column: ..., zone: Europe/Amsterdam}"
    lines = ["  time:  # the split is by time: the oldest rows train", f"    column: {_scalar(found.time.column)}"]
    if found.zone_declared:
        lines.append(f"    zone: {found.time.zone}  # of times that name none")
    return "\n".join(lines)


def _scalar(text: str) -> str:
    """A YAML scalar that both PyYAML and DVC read back as this very string."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_./-]*", text) and yaml.safe_load(text) == text and not _yaml_1_1_bool(text):
        return text
    quoted: str = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=10**6)
    return quoted.strip()


def _yaml_1_1_bool(text: str) -> bool:
    return text.lower() in {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


def _comment(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _source(request: InitRequest, scratch: Path) -> tuple[Path, str]:
    """The data file and the label."""
    if request.example is not None:
        path = scratch / f"{request.example.value}.csv"
        path.write_bytes(example_csv(request.example))
        return path, request.label or request.example.label
    if request.data is None:
        raise UsageError("no data file", hint="remint init --data FILE --label COLUMN, or --example breast-cancer")
    if request.label is None:
        raise UsageError("no label", hint="name the column to predict: --label COLUMN")
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


def _needs_tracking(directory: Path, path: str, steps: list[Step]) -> bool:
    step = next(s for s in steps if s.path == path)
    return step.action is not Action.KEEP or not (directory / f"{path}.dvc").is_file()


def _not_lines(steps: list[Step]) -> list[Step]:
    lines = {p.path for p in template_files() if p.treatment is Treatment.LINES}
    return [s for s in steps if s.path not in lines]
