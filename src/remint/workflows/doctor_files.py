"""The doctor's looks at git, at DVC and at the files of the pipeline."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from remint import __version__
from remint.adapters.dvc import Dvc
from remint.adapters.dvc_status import StageCode, not_in_remote, stage_codes
from remint.adapters.git import ORIGIN, Git
from remint.adapters.imports import files_of_module, local_imports
from remint.adapters.ledger import Ledger
from remint.adapters.lock_file import DRIVER, merge_settings
from remint.adapters.registry import champion
from remint.config import SECTION, Params
from remint.core.checkup import Checkup
from remint.core.ledger import frozen
from remint.workflows.adopt import is_adopted
from remint.workflows.doctor_look import Look, Patient, failed, look_at, not_asked, ok, warning
from remint.workflows.prepare import check_pin

_NO_PARAMS: Final = "params.yaml cannot be read, so the pipeline's name is unknown"
_NO_GIT: Final = "not inside a git repository"
_PYCACHE: Final = "__pycache__"
_SHOWN: Final = 3


def git_looks(git: Git | None, params: Params | None) -> list[tuple[str, Look]]:
    plain = {"git.history": _history, "git.origin": _origin, "git.merge_driver": _merge_driver}
    named = {"git.tags": _tags, "git.ledger": _ledger, "git.brake": _brake, "registry.champion": _champion}
    if git is None:
        return [(name, partial(not_asked, name, _NO_GIT)) for name in (*plain, *named)]
    looks: list[tuple[str, Look]] = [(name, partial(look, git)) for name, look in plain.items()]
    if params is None:
        return looks + [(name, partial(not_asked, name, _NO_PARAMS)) for name in named]
    return looks + [(name, partial(look, git, params.pipeline)) for name, look in named.items()]


def file_looks(patient: Patient, params: Params | None) -> list[tuple[str, Look]]:
    return [
        ("requirements", partial(_requirements, patient.directory)),
        ("dvc.ignore", partial(_dvcignore, patient.directory)),
        ("dvc.imports", partial(_imports, patient.directory, params)),
    ]


def dvc_looks(patient: Patient) -> list[tuple[str, Look]]:
    return [("dvc.remote", partial(_remote, patient.directory)), ("dvc.data", partial(_data, patient.directory))]


# -- git -------------------------------------------------------------------------------------------------------------


def _history(git: Git) -> Checkup:
    if git.is_shallow:
        return failed("git.history", "a shallow clone: tags and history are missing", mend="git fetch --unshallow")
    return ok("git.history", "all of the history is here")


def _origin(git: Git) -> Checkup:
    if not git.has_origin:
        line = "no origin: ledger, registry and retrain branch stay on this machine"
        return warning("git.origin", line, mend="git remote add origin URL")
    address = git.run("remote", "get-url", ORIGIN)
    if not git.succeeds("ls-remote", "--quiet", ORIGIN, "HEAD"):
        return failed("git.origin", f"{_bare(address)} does not answer", mend="git ls-remote origin says why")
    return ok("git.origin", f"{_bare(address)} answers")


def _bare(address: str) -> str:
    """Without the user and password that may stand in it."""
    scheme, found, rest = address.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if found else address


def _tags(git: Git, pipeline: str) -> Checkup:
    if not git.has_origin:
        return not_asked("git.tags", "no origin to compare with")
    patterns = [f"refs/tags/{pipeline}{sign}*" for sign in "@#"]
    lines = git.run("ls-remote", "--quiet", "--tags", "--refs", ORIGIN, *patterns).splitlines()
    there = {line.split("\t")[1].removeprefix("refs/tags/") for line in lines}
    here = {tag.name for sign in "@#" for tag in git.tags(f"{pipeline}{sign}*")}
    missing = sorted(there - here)
    if missing:
        line = f"origin has {len(missing)} tags of the registry that this clone lacks, such as {missing[0]}"
        return warning("git.tags", line, mend="git fetch --tags")
    return ok("git.tags", f"all {len(there)} tags of the registry are here")


def _ledger(git: Git, pipeline: str) -> Checkup:
    ledger = Ledger(git, pipeline)
    entries = ledger.entries()
    if not entries:
        return not_asked("git.ledger", f"{ledger.branch} is not there yet: the first check makes it")
    return ok("git.ledger", f"{ledger.branch} can be read, {len(entries)} entries")


def _brake(git: Git, pipeline: str) -> Checkup:
    brake = frozen(Ledger(git, pipeline).entries())
    if brake is not None:
        return warning("git.brake", str(brake), mend='remint unfreeze --reason "..."')
    return ok("git.brake", "not frozen")


def _champion(git: Git, pipeline: str) -> Checkup:
    found = champion(git, pipeline)
    if found is None:
        mend = "remint registry register && remint registry assign --stage stable"
        return warning("registry.champion", "no champion yet: the check has nothing to compare with", mend=mend)
    return ok("registry.champion", f"{found.tag} is {found.version or found.commit[:12]}")


def _merge_driver(git: Git) -> Checkup:
    attribute, command = merge_settings(git)
    if attribute != DRIVER:
        line = f".gitattributes does not have dvc.lock merged by stage (merge is {attribute})"
        return warning("git.merge_driver", line, mend="remint lock install")
    if command is None:
        line = "this clone lacks the driver: dvc.lock merges as text"
        return warning("git.merge_driver", line, mend="remint lock install")
    program = shlex.split(command)[0]
    if not Path(program).is_file():
        return failed("git.merge_driver", f"its program {program} is gone", mend="remint lock install")
    return ok("git.merge_driver", "dvc.lock merges by stage")


# -- files -----------------------------------------------------------------------------------------------------------


def _requirements(directory: Path) -> Checkup:
    check_pin(directory / "requirements.txt", installed=__version__)
    return ok("requirements", f"requirements.txt pins the Remint that runs, {__version__}")


def _dvcignore(directory: Path) -> Checkup:
    root = Dvc(directory).root
    here = directory.resolve()
    for place in (here, *here.parents):
        file = place / ".dvcignore"
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        if any(line.strip().strip("/") in {_PYCACHE, f"**/{_PYCACHE}"} for line in lines):
            return ok("dvc.ignore", f".dvcignore leaves {_PYCACHE} out")
        if place == root:
            break
    line = f".dvcignore does not name {_PYCACHE}: a code directory as a dependency makes a fresh clone retrain"
    return warning("dvc.ignore", line, mend=f"echo '{_PYCACHE}/' >> {shlex.quote(str(root / '.dvcignore'))}")


def _imports(directory: Path, params: Params | None) -> Checkup:
    _ = Dvc(directory).root  # its own "not a DVC repository" is a riddle
    missing, unread = {}, []
    stages = stage_codes(directory)
    for stage in stages:
        scripts = list(_scripts(stage))
        if not scripts:
            unread.append(stage.name)
            continue
        code = set(scripts).union(*(local_imports(script, search=[directory]) for script in scripts))
        code |= _estimators(stage, directory, params)
        lacking = sorted(path for path in code if not any(_covers(dep, path) for dep in stage.deps))
        if lacking:
            missing[stage.name] = [_relative(path, directory) for path in lacking]
    if missing:
        said = "; ".join(f"{stage} runs {', '.join(paths[:_SHOWN])}" for stage, paths in missing.items())
        mend = "; ".join(f"add {', '.join(paths)} to stages.{name}.deps" for name, paths in missing.items())
        line = f"{said}: not among its deps, so DVC would not see a change"
        return failed("dvc.imports", line, mend=f"in dvc.yaml, {mend}")
    if unread:
        return not_asked("dvc.imports", f"{', '.join(unread)}: no Python file in the command to read imports from")
    return ok("dvc.imports", f"the deps of {len(stages)} stages cover what they import")


def _scripts(stage: StageCode) -> Iterator[Path]:
    for command in stage.commands:
        try:
            words = shlex.split(command)
        except ValueError:
            words = command.split()
        for before, word in zip(["", *words], words, strict=False):
            if before == "-m":
                yield from (path.resolve() for path in files_of_module(word, search=[stage.directory]))
            elif word.endswith(".py") and (stage.directory / word).is_file():
                yield (stage.directory / word).resolve()


def _estimators(stage: StageCode, directory: Path, params: Params | None) -> set[Path]:
    """The functions that params.yaml names are imported by the stage that reads ``train``."""
    if params is None:
        return set()
    # In an adopted pipeline a parameter ``train`` is the team's own; ours is in the section.
    within = f"{SECTION}." if is_adopted(directory) else ""
    if not {f"{within}train", f"{within}train.estimator"} & set(stage.params):
        return set()
    names = [params.train.estimator, *(candidate.estimator for candidate in params.train.candidates)]
    modules = {name.partition(":")[0] for name in names if name}
    return set[Path]().union(*(files_of_module(module, search=[directory]) for module in modules))


def _covers(dep: Path, path: Path) -> bool:
    return path.is_relative_to(dep.resolve())


def _relative(path: Path, directory: Path) -> str:
    here = directory.resolve()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)


# -- DVC -------------------------------------------------------------------------------------------------------------


def _remote(directory: Path) -> Checkup:
    name = Dvc(directory).default_remote
    if name is None:
        mend = "dvc remote add --default NAME URL"
        return failed("dvc.remote", "DVC has no default remote: nobody else can get the model", mend=mend)
    return ok("dvc.remote", f"the default remote is {name}")


def _data(directory: Path) -> Checkup:
    if look_at("dvc.remote", partial(_remote, directory)).mend is not None:
        return not_asked("dvc.data", "there is no remote to look into")
    missing = not_in_remote(directory)
    if missing:
        shown = ", ".join(missing[:_SHOWN])
        line = f"the remote lacks {len(missing)} of what dvc.lock and the .dvc files name: {shown}"
        return failed("dvc.data", line, mend="dvc push, on the machine that has them")
    return ok("dvc.data", "the remote answers and has all that dvc.lock and the .dvc files name")
