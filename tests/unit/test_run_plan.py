"""What runs and what is downloaded, from what DVC says of each stage."""

from __future__ import annotations

from remint.core.run_plan import Action, Cause, Item, RunPlan, StageFacts, Why, plan_run


def away(path: str, size_bytes: int | None = 100, **more: bool) -> Item:
    """In neither the checkout nor the cache: in the remote alone."""
    return Item(path=path, size_bytes=size_bytes, **({"here": False, "cached": False} | more))


def modified(what: str) -> tuple[Why, ...]:
    return (Why(cause=Cause.DEPENDENCY, what=what, how="modified"),)


def chain(*, prepare: tuple[Why, ...] = (), train: tuple[Why, ...] = (), **missing: Item) -> list[StageFacts]:
    """data -> prepare -> train -> evaluate; ``missing`` replaces the items that are here."""
    items = {path: missing.get(path, Item(path=path, size_bytes=100)) for path in ("data", "rows", "model")}
    data, rows, model = items.values()
    return [
        StageFacts(name="data.dvc", is_data=True, makes=(data,)),
        StageFacts(name="prepare", changed=prepare, reads=(data,), makes=(rows,), upstream=("data.dvc",)),
        StageFacts(name="train", changed=train, reads=(rows,), makes=(model,), upstream=("prepare",)),
        StageFacts(name="evaluate", reads=(model,), makes=(Item(path="metrics", tracked=False),), upstream=("train",)),
    ]


def actions(plan: RunPlan) -> list[str]:
    return [stage.action.value for stage in plan.stages]


def downloads(plan: RunPlan) -> dict[str, bool]:
    return {download.path: download.certain for download in plan.downloads}


def test_nothing_changed_needs_nothing_however_much_is_missing() -> None:
    missing = {path: away(path, 10**9) for path in ("data", "rows", "model")}
    plan = plan_run(chain(**missing), pulls=True)
    assert actions(plan) == ["stay", "stay", "stay"]
    assert (plan.runs, plan.downloads) == (False, ())
    assert plan.to_json()["missing_bytes"] == 3 * 10**9, "what a bare dvc pull would bring"


def test_a_stage_that_runs_pulls_what_it_reads_and_no_more() -> None:
    missing = {path: away(path) for path in ("data", "rows", "model")}
    plan = plan_run(chain(train=modified("code.py"), **missing), pulls=True)
    assert actions(plan) == ["stay", "run", "may_run"]
    assert downloads(plan) == {"rows": True}
    assert plan.stages[1].reason == "code.py modified"
    assert plan.stages[2].reason == "runs if train changes"
    assert plan.to_json()["download_bytes"] == 100


def test_what_a_stage_before_may_remake_is_pulled_only_perhaps() -> None:
    missing = {path: away(path) for path in ("data", "rows", "model")}
    plan = plan_run(chain(prepare=modified("code.py"), **missing), pulls=True)
    assert actions(plan) == ["run", "may_run", "may_run"]
    assert downloads(plan) == {"data": True, "model": False}, "rows are made anew for certain"


def test_what_is_in_the_cache_is_not_downloaded() -> None:
    plan = plan_run(chain(train=modified("x"), rows=away("rows", cached=True)), pulls=True)
    assert downloads(plan) == {}
    plan = plan_run(chain(train=modified("x"), rows=away("rows", None)), pulls=True)
    assert plan.to_json()["download_bytes"] == 0
    assert plan.downloads[0].size_bytes is None, "unknown is said, not counted"


def test_a_run_that_does_not_pull_makes_again_what_the_cache_lacks() -> None:
    plan = plan_run(chain(data=away("data"), model=away("model")), pulls=False)
    assert actions(plan) == ["stay", "run", "may_run"]
    assert plan.stages[1].reason == "model is not in this machine's cache"
    assert downloads(plan) == {"data": True}, "data files are fetched before"
    assert actions(plan_run(chain(model=away("model", cached=True)), pulls=False)) == ["stay", "stay", "stay"]


def test_a_file_that_is_exported_before_the_run_changes_who_reads_it_and_is_not_downloaded() -> None:
    plan = plan_run(chain(data=away("data")), touched={"data": "is exported anew"}, pulls=False)
    assert [stage.action for stage in plan.stages] == [Action.RUN, Action.MAY_RUN, Action.MAY_RUN]
    assert plan.stages[0].reason == "data is exported anew"
    assert plan.downloads == ()
