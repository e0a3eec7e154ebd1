"""What a merged dvc.lock may claim: only what one of the two sides has produced."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remint.adapters.lock_file import format_lock, line_end_of, read_lock, read_wdirs
from remint.core.lock_merge import Lock, MergedLock, Why, merge_locks, parse_lock
from remint.errors import DataError


def item(path: str, version: str) -> dict[str, Any]:
    return {"path": path, "hash": "md5", "md5": version, "size": len(version)}


def stage(deps: dict[str, str], outs: dict[str, str], **params: Any) -> dict[str, Any]:
    more = {"params": {"params.yaml": params}} if params else {}
    return {
        "cmd": "make",
        "deps": [item(path, version) for path, version in deps.items()],
        **more,
        "outs": [item(path, version) for path, version in outs.items()],
    }


def lock(**stages: dict[str, Any]) -> Lock:
    return parse_lock({"schema": "2.0", "stages": stages}, where="dvc.lock")


def pipeline(data: str = "1", seed: Any = 0, solo: str = "1") -> Lock:
    """prepare -> train -> evaluate, and one stage that has nothing to do with them; all of it produced."""
    model = f"m{data}{seed}"
    return lock(
        prepare=stage({"data": data}, {"rows": f"r{data}"}),
        train=stage({"rows": f"r{data}"}, {"model": model}, seed=seed),
        evaluate=stage({"model": model}, {"metrics": f"e{model}"}),
        solo=stage({"other": solo}, {"picture": f"p{solo}"}),
    )


def left_out(merged: MergedLock) -> dict[str, Why]:
    return {found.stage: found.why for found in merged.left_out}


BASE = pipeline()


def test_a_stage_that_one_side_changed_is_taken_from_that_side() -> None:
    merged = merge_locks(BASE, pipeline(data="2"), pipeline(solo="2"))
    assert merged.left_out == ()
    assert merged.lock == pipeline(data="2", solo="2")
    assert merge_locks(BASE, pipeline(solo="2"), pipeline(data="2")).lock == pipeline(data="2", solo="2")


def test_the_same_change_on_both_sides_is_that_change() -> None:
    assert merge_locks(BASE, pipeline(data="2"), pipeline(data="2")).lock == pipeline(data="2")


def test_what_both_sides_changed_is_left_out_with_everything_that_reads_it() -> None:
    merged = merge_locks(BASE, pipeline(seed=1), pipeline(seed=2))
    assert left_out(merged) == {"train": Why.BOTH_CHANGED, "evaluate": Why.BOTH_CHANGED}
    assert list(merged.lock.stages) == ["prepare", "solo"]
    same_metrics = [lock(**{**pipeline(seed=s).stages, "evaluate": BASE.stages["evaluate"]}) for s in (1, 2)]
    merged = merge_locks(BASE, *same_metrics)
    assert left_out(merged) == {"train": Why.BOTH_CHANGED, "evaluate": Why.INPUT_UNKNOWN}


def test_new_data_on_one_side_and_a_new_seed_on_the_other_is_a_model_that_nobody_trained() -> None:
    merged = merge_locks(BASE, pipeline(data="2"), pipeline(seed=1))
    assert left_out(merged) == {"train": Why.BOTH_CHANGED, "evaluate": Why.BOTH_CHANGED}
    assert merged.lock.stages["prepare"] == pipeline(data="2").stages["prepare"]


def test_a_stage_is_left_out_where_its_input_comes_from_the_other_side() -> None:
    """Ours changed prepare and committed before it trained; theirs trained on the old rows."""
    ours = lock(**{**BASE.stages, "prepare": pipeline(data="2").stages["prepare"]})
    merged = merge_locks(BASE, ours, pipeline(seed=1))
    assert left_out(merged) == {"train": Why.INPUT_CHANGED, "evaluate": Why.INPUT_UNKNOWN}
    assert "another rows than prepare" in merged.left_out[0].reason


def test_what_was_stale_on_one_side_before_is_not_the_merges_business() -> None:
    ours = lock(**{**BASE.stages, "prepare": pipeline(data="2").stages["prepare"]})
    merged = merge_locks(BASE, ours, pipeline(solo="2"))
    assert merged.left_out == ()
    assert merged.lock.stages == {**ours.stages, "solo": pipeline(solo="2").stages["solo"]}


def test_a_deleted_stage_stays_deleted_and_an_added_one_is_added() -> None:
    without = lock(**{name: entry for name, entry in BASE.stages.items() if name != "solo"})
    more = lock(**BASE.stages, extra=stage({}, {"x": "1"}))
    assert merge_locks(BASE, without, more).lock.stages.keys() == {"prepare", "train", "evaluate", "extra"}
    merged = merge_locks(BASE, without, pipeline(solo="2"))
    assert left_out(merged) == {"solo": Why.CHANGED_AND_DELETED}
    both = [lock(**BASE.stages, extra=stage({}, {"x": version})) for version in ("1", "2")]
    assert left_out(merge_locks(BASE, *both)) == {"extra": Why.BOTH_CHANGED}


def test_a_dependency_inside_an_output_or_around_it_is_seen() -> None:
    def world(rows: str, seed: int, dep: str, out: str) -> Lock:
        first = stage({"data": rows}, {out: rows})
        return lock(first=first, second=stage({dep: f"d{rows}"}, {"model": f"{seed}"}, seed=seed))

    for dep, out in (("rows/train.csv", "rows"), ("all", "all/rows"), ("./rows", "rows")):
        base = world("1", 0, dep, out)
        ours = lock(**{**base.stages, "first": world("2", 0, dep, out).stages["first"]})
        assert left_out(merge_locks(base, ours, world("1", 1, dep, out))) == {"second": Why.INPUT_CHANGED}, dep
    apart = world("1", 0, "rows-old", "rows")
    ours = lock(**{**apart.stages, "first": world("2", 0, "rows-old", "rows").stages["first"]})
    assert merge_locks(apart, ours, world("1", 1, "rows-old", "rows")).left_out == ()


def test_paths_are_relative_to_the_stages_own_directory() -> None:
    base = lock(first=stage({}, {"rows": "1"}), second=stage({"../data/rows": "1"}, {"m": "1"}))
    ours = lock(first=stage({}, {"rows": "2"}), second=base.stages["second"])
    theirs = lock(first=base.stages["first"], second=stage({"../data/rows": "1"}, {"m": "2"}))
    assert merge_locks(base, ours, theirs).left_out == ()
    wdirs = {"first": "data", "second": "code"}
    assert left_out(merge_locks(base, ours, theirs, wdirs=wdirs)) == {"second": Why.INPUT_CHANGED}


def test_numbers_that_python_takes_for_equal_are_three_values() -> None:
    for ours, theirs in ((1, 1.0), (1, True), (0, False)):
        merged = merge_locks(pipeline(seed=7), pipeline(seed=ours), pipeline(seed=theirs))
        assert left_out(merged)["train"] is Why.BOTH_CHANGED


def test_a_data_set_that_both_sides_changed_is_a_persons_matter() -> None:
    def with_dataset(revision: str, out: str = "1") -> Lock:
        dataset = {"name": "photos", "type": "dvc", "rev_lock": revision}
        made = stage({}, {"m": out})
        made["deps"] = [{"path": "ds://photos", "dataset": dataset}]
        return parse_lock({"schema": "2.0", "datasets": [dataset], "stages": {"s": made}}, where="dvc.lock")

    base = with_dataset("a")
    assert merge_locks(base, with_dataset("b", "2"), base).lock == with_dataset("b", "2")
    with pytest.raises(DataError, match="both sides changed the data set 'photos'"):
        merge_locks(base, with_dataset("b"), with_dataset("c"))
    crossed = Lock(stages=base.stages, datasets=with_dataset("b").datasets)
    theirs = Lock(stages={"s": {**base.stages["s"], "cmd": "other"}}, datasets=base.datasets)
    assert left_out(merge_locks(base, crossed, theirs)) == {"s": Why.INPUT_CHANGED}


_VERSIONS = st.sampled_from(["1", "2", "3"])


@settings(max_examples=150, deadline=None)
@given(*[st.tuples(_VERSIONS, st.integers(0, 2), _VERSIONS)] * 3)
def test_of_three_produced_states_every_kept_stage_was_made_from_what_the_others_made(
    one: tuple[str, int, str], two: tuple[str, int, str], three: tuple[str, int, str]
) -> None:
    base, ours, theirs = pipeline(*one), pipeline(*two), pipeline(*three)
    merged = merge_locks(base, ours, theirs)
    stages = merged.lock.stages
    assert stages.keys().isdisjoint(left_out(merged))
    assert stages.keys() | left_out(merged).keys() == {"prepare", "train", "evaluate", "solo"}
    made = {out["path"]: out["md5"] for entry in stages.values() for out in entry["outs"]}
    for name, entry in stages.items():
        assert entry in (ours.stages[name], theirs.stages[name])
        for dep in entry["deps"]:
            assert made.get(dep["path"], dep["md5"]) == dep["md5"]
            if dep["path"] in {"rows", "model"}:
                assert dep["path"] in made, "nothing is built on what was left out"
    swapped = merge_locks(base, theirs, ours)
    assert (swapped.lock.stages, left_out(swapped)) == (stages, left_out(merged)), "neither side is favoured"


def test_the_old_schema_is_read_and_an_unknown_one_is_refused() -> None:
    entry = stage({}, {"x": "1"})
    assert parse_lock({"s": entry}, where="x") == parse_lock({"schema": "2.0", "stages": {"s": entry}}, where="x")
    assert parse_lock(None, where="x") == Lock()
    for wrong in ([], "x", {"schema": "3.0"}, {"schema": "2.0", "stage": {}}, {"schema": "2.0", "stages": []}):
        with pytest.raises(DataError):
            parse_lock(wrong, where="x")
    for broken in ({"cmd": "x", "deps": {}}, {"cmd": "x", "outs": [{"md5": "1"}]}, "x", {"deps": []}):
        with pytest.raises(DataError, match="'s'"):
            parse_lock({"schema": "2.0", "stages": {"s": broken}}, where="x")


def test_conflict_markers_and_rubbish_are_no_lock_file() -> None:
    for content in (b"<<<<<<< ours\nschema: '2.0'\n=======\n", b"\xff\xfe\x00", b"{", b"a: 1\na: 2\n"):
        with pytest.raises(DataError, match=r"dvc\.lock: not YAML"):
            read_lock(content, where="dvc.lock")


def test_the_file_is_written_as_dvc_writes_it() -> None:
    from dvc.utils.serialize import dumps_yaml

    odd = stage({"a b": "1"}, {"x": "1"}, on="yes", time="2026-01-01", rate=1e-05, none=None, long="word " * 40)
    made = lock(odd=odd)
    assert format_lock(made) == dumps_yaml(made.to_document())
    assert read_lock(format_lock(made).encode(), where="x") == made
    windows = format_lock(made, line_end="\r\n").encode()
    assert windows.count(b"\r\n") == windows.count(b"\n") == format_lock(made).count("\n")
    assert line_end_of(windows) == "\r\n"
    assert read_lock(windows, where="x") == made


def test_a_directory_that_is_a_template_cannot_be_known(tmp_path: Any) -> None:
    file = tmp_path / "dvc.yaml"
    assert read_wdirs(file) == {}
    file.write_text("stages:\n  a: {cmd: x, wdir: src}\n  b: {foreach: [1], do: {cmd: x, wdir: lib}}\n  c: {cmd: x}\n")
    assert read_wdirs(file) == {"a": "src", "b": "lib"}
    file.write_text("stages:\n  a: {cmd: x, wdir: '${where}'}\n")
    with pytest.raises(DataError, match="'a' is a template"):
        read_wdirs(file)
