"""A pipeline that was not made by ``remint init``: ours is put beside it, and nothing of it changes its meaning.

Their stages, parameters and files stay. Our three stages come behind theirs under names of their own, our parameters
are the section ``remint`` of their ``params.yaml``, the numbers of their metrics files are taken up for information.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from remint.adapters.dvc_stages import OwnStage, own_stages
from remint.adapters.imports import files_of_module
from remint.adapters.scaffold import Planned, Treatment, dvc_root, read_manifest
from remint.adapters.yaml_splice import read_mapping, with_section, with_stages
from remint.config import SECTION, parse_params
from remint.errors import UsageError
from remint.workflows.init_files import stage_scripts, template_files
from remint.workflows.init_params import FEEDBACK
from remint.workflows.own_metrics import read_own_metrics

PREFIX: Final = "remint-"
_COMMENT: Final = """\
Added by `remint init --adopt`: split, train and measure, for a bundle that can be judged and served. The stages above
stay as they are. Code of your own that the estimator imports belongs into the deps of remint-train."""
_ARTIFACTS: Final = "artifacts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """What a repository has of its own, as init takes it up."""

    stages: tuple[OwnStage, ...]  # their own alone
    tracked: tuple[str, ...]  # what DVC tracks or their stages make
    info_files: tuple[str, ...]
    feedback: str
    metrics: Mapping[str, Mapping[str, float]]  # of the info files that are here

    def to_json(self) -> dict[str, Any]:
        return {
            "stages": [stage.name for stage in self.stages],
            "metrics": {name: list(self.metrics.get(name, {})) for name in self.info_files},
        }

    def maker(self, path: str) -> OwnStage | None:
        """The stage of theirs that makes the file."""
        return next((s for s in self.stages if any(_inside(path, out) for out in s.outs)), None)

    def candidates(self) -> list[str]:
        """Data files that their stages read or make, each with where it comes from."""
        found: dict[str, str] = {}
        for stage in self.stages:
            for path in (*stage.deps, *stage.outs):
                if path.lower().endswith((".csv", ".tsv", ".parquet")):
                    maker = self.maker(path)
                    found[path] = f"{path} ({'data' if maker is None else f'made by {maker.name}'})"
        return list(found.values())


def has_own(directory: Path) -> list[str]:
    """Which of ``dvc.yaml`` and ``params.yaml`` are there and were not made by init."""
    recorded = read_manifest(directory)
    return [name for name in ("dvc.yaml", "params.yaml") if (directory / name).is_file() and name not in recorded]


def is_adopted(directory: Path) -> bool:
    """Whether an earlier init put its section into the team's ``params.yaml``."""
    path = directory / "params.yaml"
    if not path.is_file():
        return False
    return SECTION in read_mapping(path.read_text(encoding="utf-8"), where=str(path))


def look(directory: Path) -> Adopted:
    """What the repository has. Raises UsageError where Remint's files would be inside what is theirs."""
    if (directory / "dvc.yaml").is_file() and dvc_root(directory) is None:
        raise UsageError("dvc.yaml is there, but DVC was never begun", where=str(directory), hint="dvc init")
    everything = own_stages(directory) if dvc_root(directory) is not None else ()
    theirs = tuple(stage for stage in everything if not stage.is_data and not stage.name.startswith(PREFIX))
    for stage in theirs:
        if clash := next((out for out in stage.outs if _inside(out, _ARTIFACTS) or _inside(_ARTIFACTS, out)), None):
            raise UsageError(
                f"stage {stage.name!r} writes {clash}, and {_ARTIFACTS}/ has to be Remint's",
                where="dvc.yaml",
                hint="let it write elsewhere, or run remint init --data in a subdirectory",
            )
    tracked = tuple(out for stage in everything if not stage.name.startswith(PREFIX) for out in stage.outs)
    declared = [name for stage in theirs for name in stage.metrics] + _top_level_metrics(directory)
    info_files = tuple(dict.fromkeys(declared))
    here = [name for name in info_files if (directory / name).is_file()]
    whole = any(_inside(FEEDBACK, out) and out != FEEDBACK for out in tracked)  # they track data/ as one thing
    return Adopted(
        stages=theirs,
        tracked=tracked,
        info_files=info_files,
        feedback="feedback/feedback.parquet" if whole else FEEDBACK,
        metrics=read_own_metrics(directory, here),
    )


def adopted_files(directory: Path, adopted: Adopted, params: str, *, estimator: str) -> list[Planned]:
    """Their ``dvc.yaml`` and ``params.yaml`` with ours added, our stages' scripts, and what every pipeline has.

    ``params`` is the whole of ours as text. Their copy of the section, where it is there already, stays as it is.
    """
    return [
        _stages_file(directory, adopted, estimator),
        _params_file(directory, params),
        *(Planned(path=f"stages/remint_{name}.py", content=content) for name, content in stage_scripts().items()),
        *template_files(stages=False),
    ]


def _stages_file(directory: Path, adopted: Adopted, estimator: str) -> Planned:
    text = _text(directory / "dvc.yaml")
    code = sorted(
        path.relative_to(directory.resolve()).as_posix()
        for path in files_of_module(estimator.partition(":")[0], search=[directory])
    )
    stages = our_stages(code=code, info_files=adopted.info_files)
    changed = with_stages(text, stages, comment=_COMMENT, where="dvc.yaml")
    return Planned(path="dvc.yaml", content=changed.encode(), treatment=Treatment.ADDED)


def our_stages(*, code: Sequence[str], info_files: Sequence[str]) -> dict[str, Any]:
    """The template's stages under names of their own, with their parameters in the section.

    ``code``: the files that the estimator is made of, which DVC cannot see; ``info_files``: metrics of their stages,
    so that ours measures after theirs have run.
    """
    template = next(file.content for file in template_files() if file.path == "dvc.yaml").decode()
    stages = read_mapping(template, where="dvc.yaml")["stages"]
    further = {"train": code, "evaluate": info_files}
    return {
        f"{PREFIX}{name}": {
            **stage,
            "cmd": _renamed(stage["cmd"]),
            "deps": [*(_renamed(dep) for dep in stage["deps"]), *further.get(name, ())],
            "params": [f"{SECTION}.{key}" for key in stage["params"]],
        }
        for name, stage in stages.items()
    }


def _renamed(text: str) -> str:
    return text.replace("stages/", "stages/remint_").replace("${", f"${{{SECTION}.")


def _params_file(directory: Path, params: str) -> Planned:
    text = _text(directory / "params.yaml")
    present = read_mapping(text, where="params.yaml").get(SECTION)
    if present is None:
        text = with_section(text, SECTION, params, where="params.yaml")
    else:
        _refuse_another(text, params)
    parse_params(text)
    return Planned(path="params.yaml", content=text.encode(), treatment=Treatment.ADDED)


def _refuse_another(text: str, params: str) -> None:
    """The section is theirs since it was written; but a second pipeline has no place in it."""
    there, wanted = parse_params(text), parse_params(params)
    pairs = {
        "pipeline": (there.pipeline, wanted.pipeline),
        "task.data": (there.task.data, wanted.task.data),
        "task.label": (there.task.label, wanted.task.label),
    }
    for key, (have, want) in pairs.items():
        if have != want:
            raise UsageError(
                f"{key} is {have!r} there, and you asked for {want!r}",
                where=f"params.yaml: {SECTION}",
                hint="change it there; a second pipeline needs a directory of its own",
            )


def _top_level_metrics(directory: Path) -> list[str]:
    """Those that stand beside ``stages``, as DVCLive puts them."""
    found = read_mapping(_text(directory / "dvc.yaml"), where="dvc.yaml").get("metrics") or []
    return [item for item in found if isinstance(item, str) and "${" not in item] if isinstance(found, list) else []


def _text(path: Path) -> str:
    """With the line ends that it has; empty where there is none."""
    try:
        return path.read_bytes().decode("utf-8") if path.is_file() else ""
    except UnicodeDecodeError:
        raise UsageError("is not UTF-8", where=str(path)) from None


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
