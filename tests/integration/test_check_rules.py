"""``remint check``: each kind of rule on the prediction log, memory through the ledger, and what people see of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from check_examples import NOW, PROMOTED, RULES, Pipeline, draw, make_pipeline, write_params
from remint.cli import main
from remint.core.document import parse_time
from remint.core.trigger import Answer
from remint.workflows.check import Checked, Question, run_check


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return make_pipeline(tmp_path / "repository")


def check(pipeline: Pipeline, *, now: datetime = NOW, **question: Any) -> Checked:
    asked = Question(now=now, **{"store_url": pipeline.store_url, **question})
    return run_check(pipeline.params, asked, directory=pipeline.directory, environ={})


def states(checked: Checked) -> dict[str, str]:
    return {rule["name"]: "fired" if rule["fired"] else rule["state"] for rule in checked.document["rules"]}


def run(pipeline: Pipeline, *arguments: str) -> int:
    command = ["-C", str(pipeline.directory), "check", "--store", pipeline.store_url, "--now", "2026-05-03T00:00:00Z"]
    return main([*command, *arguments])


@pytest.fixture(autouse=True)
def _back_to_where_we_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path.cwd())


# -- each kind of rule, on the log -------------------------------------------------------------------------------------

EVERY_KIND: dict[str, dict[str, Any]] = {
    **RULES,
    "slow": {"kind": "slow_drift"},
    "cost": {"kind": "cost", "error_cost": 1, "retrain_cost": 100},
    "order": {"kind": "drift", "role": "feature", "method": "wasserstein", "windows": 2},
}


def declare(pipeline: Pipeline, rules: dict[str, dict[str, Any]], **more: Any) -> None:
    write_params(pipeline.directory, rules, **more)


def test_every_kind_of_rule_answers_on_healthy_traffic(pipeline: Pipeline) -> None:
    declare(pipeline, EVERY_KIND, window="1d")
    for hours in (36, 12):
        pipeline.serve(draw(1_000, seed=hours), at=NOW - timedelta(hours=hours), right=180, wrong=20)
    checked = check(pipeline)
    assert checked.answer is Answer.HOLD, checked.document["reasons"]
    assert states(checked) == dict.fromkeys(EVERY_KIND, "ok")


def test_a_store_has_no_promql_and_the_check_says_what_to_do(pipeline: Pipeline) -> None:
    query = {"kind": "promql", "query": "up", "above": 1, "then": "investigate"}
    declare(pipeline, {"features": RULES["features"], "latency": query})
    pipeline.serve(draw(1_000, seed=1))
    checked = check(pipeline)
    assert checked.answer is Answer.INCONCLUSIVE
    assert "source: prometheus, or drop the rule" in str(checked.failure)


def test_two_windows_in_a_row_have_to_show_it(pipeline: Pipeline) -> None:
    rule = {"kind": "drift", "role": "feature", "windows": 2}
    declare(pipeline, {"features": rule}, window="1d")
    pipeline.serve(draw(1_000, seed=1), at=NOW - timedelta(hours=36))
    pipeline.serve(draw(1_000, seed=2, shift=0.6), at=NOW - timedelta(hours=12), right=200)
    assert check(pipeline, dry_run=True).answer is Answer.HOLD
    later = NOW + timedelta(days=1)
    pipeline.serve(draw(1_000, seed=3, shift=0.6), at=later - timedelta(hours=12))
    assert check(pipeline, now=later, dry_run=True).answer is Answer.RETRAIN


def test_drift_too_slow_for_any_window_adds_up(pipeline: Pipeline) -> None:
    rules = {"features": RULES["features"], "slow": {"kind": "slow_drift"}}
    declare(pipeline, rules, window="6h")
    for step in range(40):
        at = PROMOTED + timedelta(hours=6 * step + 3)
        pipeline.serve(draw(400, seed=100 + step, shift=0.25), at=at, right=10)
    checked = check(pipeline, now=PROMOTED + timedelta(days=10))
    assert states(checked) == {"features": "ok", "slow": "fired"}
    assert checked.answer is Answer.RETRAIN


def test_a_rule_with_for_waits_through_the_ledger_and_fires(pipeline: Pipeline) -> None:
    declare(pipeline, {"features": RULES["features"], "wrong": {"kind": "wrong", "limit": 30, "for": "6h"}})
    pipeline.serve(draw(600, seed=1), right=100, wrong=40)
    first = check(pipeline)
    assert first.answer is Answer.HOLD
    assert states(first)["wrong"] == "ok"
    assert "not yet for 6 h" in next(r["reason"] for r in first.document["rules"] if r["name"] == "wrong")
    assert check(pipeline, now=NOW + timedelta(hours=3)).answer is Answer.HOLD
    assert check(pipeline, now=NOW + timedelta(hours=6)).answer is Answer.RETRAIN


def test_a_rule_that_fired_stays_until_the_clear_limit(pipeline: Pipeline) -> None:
    rules = {"features": RULES["features"], "wrong": {"kind": "wrong", "limit": 40, "clear": 20, "for": "30d"}}
    declare(pipeline, rules, window="1d")
    pipeline.serve(draw(600, seed=1), right=100, wrong=40)
    since = parse_time(rule_of(check(pipeline), "wrong")["active_since"])
    assert since == NOW
    later = NOW + timedelta(hours=20)
    pipeline.serve(draw(600, seed=2), at=later - timedelta(hours=1), right=100)
    declare(pipeline, rules, window="21h")
    assert rule_of(check(pipeline, now=later), "wrong")["active_since"] is not None
    quiet = NOW + timedelta(hours=46)
    pipeline.serve(draw(600, seed=3), at=quiet - timedelta(hours=1), right=100, wrong=19)
    assert rule_of(check(pipeline, now=quiet), "wrong")["active_since"] is None


def rule_of(checked: Checked, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(rule for rule in checked.document["rules"] if rule["name"] == name)
    return found


def test_checks_on_a_faster_schedule_share_the_budget(pipeline: Pipeline) -> None:
    pipeline.serve(draw(600, seed=1), right=100)
    alphas = [check(pipeline, now=NOW + timedelta(minutes=5 * i)).document["alpha"] for i in range(20)]
    unit = 6 / (24 * 365)
    assert alphas[0] == pytest.approx(unit)
    assert alphas[-1] < unit / 2
    assert sum(alphas) <= 1.0 * (timedelta(days=3, minutes=100) / timedelta(days=365))


def test_text_for_people_stays_within_a_hundred_columns(pipeline: Pipeline, capfd: pytest.CaptureFixture[str]) -> None:
    declare(pipeline, EVERY_KIND, window="1d")
    pipeline.serve(draw(2_000, seed=1, shift=0.6), right=180, wrong=20)
    assert run(pipeline, "--dry-run", "--explain") == 0
    said = capfd.readouterr().err
    assert max(len(line) for line in said.splitlines()[2:]) <= 100
    assert "\x1b" not in said  # no colour in pipes
    assert "could see" in said
    assert "█" in said


def test_the_page_holds_every_field_and_needs_no_network(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.serve(draw(1_000, seed=1, shift=0.6), right=180, wrong=20)
    assert run(pipeline, "--dry-run", "--html", str(tmp_path / "check.html")) == 0
    page = (tmp_path / "check.html").read_text()
    for words in ("RETRAIN: churn", "size", "city", "@confidence", "Content-Security-Policy", "<svg"):
        assert words in page
    assert "http://" not in page.replace("http://www.w3.org", "")
