"""Alerts and dashboard: their logic by promtool, their names against what the service exposes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from binaries import ROOT, binary
from remint.adapters.exporter import Exporter
from remint.serving.metrics import Metrics

MONITORING = ROOT / "monitoring"
RULES = yaml.safe_load((MONITORING / "rules.yaml").read_text())
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([binary("promtool"), *arguments], capture_output=True, text=True)


def exposed() -> set[str]:
    """The metrics of the service's and the watch's collectors: their type lines stand there before any traffic."""
    body, _ = Metrics("churn", max_series=100).render()
    return set(re.findall(r"^# TYPE (remint_\w+) ", (body + Exporter("churn").render()).decode(), re.MULTILINE))


def test_alerts_fire_and_stay_silent_as_their_tests_say() -> None:
    done = promtool("test", "rules", str(MONITORING / "rules_test.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test_in_which_it_fires() -> None:
    tests = yaml.safe_load((MONITORING / "rules_test.yaml").read_text())["tests"]
    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert fired == {alert["alert"] for alert in ALERTS}


def test_every_alert_says_what_is_wrong_and_how_bad_it_is() -> None:
    for alert in ALERTS:
        assert alert["labels"]["severity"] in {"critical", "warning"}
        assert set(alert["annotations"]) == {"summary", "description"}


def test_the_dashboards_queries_are_promql(tmp_path: Path) -> None:
    variables = {"$pipeline": "churn", "$field": "age", "$__rate_interval": "1m"}
    rules: list[dict[str, Any]] = []
    for i, query in enumerate(QUERIES):
        for name, value in variables.items():
            query = query.replace(name, value)
        rules.append({"record": f"panel:{i}", "expr": query})
    file = tmp_path / "dashboard.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = promtool("check", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_metrics_that_are_exposed_are_asked_for() -> None:
    asked = {name for query in [*QUERIES, *(a["expr"] for a in ALERTS)] for name in re.findall(r"remint_\w+", query)}
    assert asked
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked} <= exposed()


def test_panels_do_not_overlap_and_have_their_own_ids() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
