"""What DVC says about each stage of a pipeline, asked in process: its own status of every dependency and output."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remint.core.run_plan import Cause, Item, StageFacts, Why
from remint.errors import ConfigError, DataError, LockedError, ServiceError

#: What DVC answers where data are not in the checkout; whether they changed is then read from what is recorded.
_MISSING = frozenset({"deleted", "not in cache"})


def stage_facts(directory: Path) -> tuple[StageFacts, ...]:
    """The stages of ``dvc.yaml`` in ``directory`` and all that comes before them, in an order in which they can run.

    Files in the checkout are hashed where they changed since DVC last saw them. Nothing is written or fetched. Raises
    ConfigError where DVC cannot read the pipeline, LockedError while another DVC works in this checkout.
    """
    place = directory.resolve()
    with translated(place):
        from dvc.repo import Repo

        with Repo(str(place)) as repo:
            return tuple(_facts(repo, place))


@contextmanager
def translated(place: Path) -> Iterator[None]:
    """DVC's errors as ours, one line each."""
    from dvc.exceptions import DvcException
    from dvc.lock import LockError

    try:
        with warnings.catch_warnings():  # DVC's own, of a library that it uses: not for our users to mend
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    except LockError as error:
        raise LockedError(" ".join(str(error).split()), where=str(place), hint="wait for the other DVC") from None
    except DvcException as error:
        raise ConfigError(" ".join(str(error).split()), where=str(place), hint="dvc status says more") from None
    except TypeError as error:  # DVC's own crash, at an unquoted date in a parameter file
        if "Unsupported value of type" not in str(error):
            raise
        raise ConfigError(f"DVC cannot read it: {error}", where=str(place), hint="put it in quotes") from None


def _facts(repo: Any, place: Path) -> Iterator[StageFacts]:
    graph = repo.index.graph
    mine = [stage for stage in repo.index.stages if Path(stage.path) == place / "dvc.yaml"]
    if not mine:
        raise ConfigError("no dvc.yaml with stages", where=str(place), hint="remint init")
    for stage in _in_order(mine, graph):
        upstream = list(graph.successors(stage))
        yield StageFacts(
            name=_name(stage, place),
            is_data=not stage.cmd,
            changed=tuple(_changes(stage, upstream, place)),
            reads=tuple(_read(dep, upstream, place) for dep in stage.deps if _is_file(dep)),
            makes=tuple(_item(out, place) for out in stage.outs),
            upstream=tuple(_name(other, place) for other in upstream),
        )


def _in_order(wanted: list[Any], graph: Any) -> Iterator[Any]:
    """``wanted`` and what comes before them, each after all of its own; the graph's edges point upstream."""
    seen: set[Any] = set()
    path = [(stage, False) for stage in reversed(wanted)]
    while path:
        stage, all_before = path.pop()
        if all_before:
            yield stage
        elif stage not in seen:
            seen.add(stage)
            path.append((stage, True))
            path.extend((other, False) for other in graph.successors(stage) if other not in seen)


def _changes(stage: Any, upstream: list[Any], place: Path) -> Iterator[Why]:
    if not stage.cmd:  # a data file: that it is not here is no change, and that it was edited is what its readers say
        return
    if not any(item.hash_info for item in (*stage.deps, *stage.outs)):
        yield Why(cause=Cause.NEVER_RUN, what=_name(stage, place), how="dvc.lock has no entry of it")
        return
    if stage.changed_stage():
        yield Why(cause=Cause.COMMAND, what=_name(stage, place), how="its command changed")
    if stage.is_callback or stage.always_changed:
        yield Why(cause=Cause.ALWAYS, what=_name(stage, place), how="it runs always")
    for dep in () if stage.frozen else stage.deps:
        for what, how in dep.status().items():
            if isinstance(how, dict):  # parameters of one file
                for parameter, change in how.items():
                    yield Why(cause=Cause.PARAMETER, what=f"{_what(dep, what, place)}:{parameter}", how=change)
                continue
            said = how if how not in _MISSING else _recorded_change(dep, upstream)
            if said is not None:
                yield Why(cause=Cause.DEPENDENCY, what=_what(dep, what, place), how=said)
    for out in stage.outs:
        for how in out.status().values():
            if how not in _MISSING:
                yield Why(cause=Cause.OUTPUT, what=_path(out, place), how=f"{how} since it was made")
            elif not out.use_cache:  # git keeps it, so that it can only have been deleted
                yield Why(cause=Cause.OUTPUT, what=_path(out, place), how="deleted")


def _recorded_change(dep: Any, upstream: list[Any]) -> str | None:
    """A dependency that is not in the checkout: whether what is recorded of its maker is what the stage was run on."""
    makers = [out for stage in upstream for out in stage.outs if _inside(dep.fs_path, out.fs_path)]
    if not makers:
        return "is missing, and nothing makes it"
    for out in makers:
        if out.fs_path == dep.fs_path and out.hash_info != dep.hash_info:
            return "modified"
    return None


def _read(dep: Any, upstream: list[Any], place: Path) -> Item:
    maker = next((out for stage in upstream for out in stage.outs if _inside(dep.fs_path, out.fs_path)), None)
    if maker is None:
        return Item(path=_path(dep, place), size_bytes=_size(dep), here=dep.exists, tracked=False)
    # What will be read is the maker's, which may be another than the one that the stage was run on
    size = _size(maker) if maker.fs_path == dep.fs_path else _size(dep)
    return Item(
        path=_path(dep, place), size_bytes=size, here=dep.exists, cached=_cached(maker), tracked=bool(maker.use_cache)
    )


def _item(out: Any, place: Path) -> Item:
    return Item(
        path=_path(out, place),
        size_bytes=_size(out),
        here=out.exists,
        cached=_cached(out),
        tracked=bool(out.use_cache) and bool(out.hash_info),
    )


def _cached(out: Any) -> bool:
    return not out.use_cache or not out.hash_info or not out.changed_cache()


def _size(item: Any) -> int | None:
    return None if item.meta is None else item.meta.size


def _is_file(dep: Any) -> bool:
    from dvc.dependency import ParamsDependency

    return not isinstance(dep, ParamsDependency)


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _path(item: Any, place: Path) -> str:
    """Relative to the pipeline's directory; an address stays as it is."""
    return os.path.relpath(item.fs_path, place) if item.is_in_repo else str(item)


def _what(dep: Any, said: str, place: Path) -> str:
    return _path(dep, place) if getattr(dep, "fs_path", None) else said


def _name(stage: Any, place: Path) -> str:
    if Path(stage.path) == place / "dvc.yaml":
        return str(stage.name)
    path = os.path.relpath(stage.path, place)
    return f"{path}:{stage.name}" if getattr(stage, "name", None) else path


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCode:
    """What a stage runs and lists: its commands, the directory they run in, its dependencies and parameters."""

    name: str
    commands: tuple[str, ...]
    directory: Path
    deps: tuple[Path, ...]
    params: tuple[str, ...]  # dotted keys of any parameter file


def stage_codes(directory: Path) -> tuple[StageCode, ...]:
    """Of the stages of ``dvc.yaml`` in ``directory``, every template in it resolved. Raises as ``stage_facts``."""
    place = directory.resolve()
    with translated(place):
        from dvc.dependency import ParamsDependency
        from dvc.repo import Repo

        with Repo(str(place)) as repo:
            return tuple(
                StageCode(
                    name=str(stage.name),
                    commands=tuple(stage.cmd if isinstance(stage.cmd, list) else [stage.cmd]),
                    directory=Path(stage.wdir),
                    deps=tuple(Path(dep.fs_path) for dep in stage.deps if _is_file(dep)),
                    params=tuple(
                        str(key) for dep in stage.deps if isinstance(dep, ParamsDependency) for key in dep.params
                    ),
                )
                for stage in repo.index.stages
                if Path(stage.path) == place / "dvc.yaml" and stage.cmd
            )


def not_in_remote(directory: Path) -> list[str]:
    """What the checkout names and the default remote lacks, whatever our own cache holds.

    Raises ServiceError where the remote does not answer, ConfigError where DVC cannot read the pipeline.
    """
    place = directory.resolve()
    with translated(place):
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        with Repo(str(place)) as repo:
            try:
                status = repo.data_status(not_in_remote=True, remote_refresh=True)
            except DvcException:
                raise
            except Exception as error:  # each kind of remote has a library of its own, with errors of its own
                raise ServiceError(
                    f"does not answer: {type(error).__name__}: {' '.join(str(error).split())[:200]}", where="DVC remote"
                ) from error
            return sorted(status["not_in_remote"])


def read_output(directory: Path, path: str) -> bytes:
    """A file of an output, as the ``dvc.lock`` in ``directory`` records it, from the cache or else from the remote.

    The checkout stays as it is. Raises DataError where no output has this file, ServiceError where its content cannot
    be had, ConfigError where DVC cannot read the pipeline.
    """
    place = directory.resolve()
    with translated(place):
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        with Repo(str(place)) as repo:
            try:
                with repo.dvcfs.open(os.path.relpath(place / path, repo.root_dir), "rb") as file:
                    return bytes(file.read())
            except DvcException:
                raise
            except FileNotFoundError:
                raise DataError("no output has this file, or its content is in no cache", where=path) from None
            except Exception as error:  # each kind of remote has a library of its own, with errors of its own
                raise ServiceError(
                    f"does not answer: {type(error).__name__}: {' '.join(str(error).split())[:200]}", where="DVC remote"
                ) from error
