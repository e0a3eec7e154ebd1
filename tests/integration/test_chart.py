"""What the chart promises, on what Helm really renders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from binaries import ROOT, binary
from remint.core.release import ReleaseState
from serving_examples import make_bundle, state_of, write_params, write_state

CHART = ROOT / "helm" / "remint"
SAMPLES = sorted((CHART / "ci").glob("*-values.yaml"))
SQLITE = CHART / "ci" / "sqlite-values.yaml"
CANARY = CHART / "ci" / "canary-values.yaml"
SHARED = CHART / "ci" / "shared-store-values.yaml"

Objects = Mapping[tuple[str, str], dict[str, Any]]


def helm(*arguments: str, tmp: Path) -> subprocess.CompletedProcess[str]:
    homes = {f"HELM_{kind}_HOME": str(tmp / "helm") for kind in ("CONFIG", "CACHE", "DATA")}
    return subprocess.run([binary("helm"), *arguments], capture_output=True, text=True, env={**os.environ, **homes})


def render(values: Path, *extra: str, tmp: Path) -> Objects:
    done = helm("template", "live", str(CHART), "--namespace", "ml", "--values", str(values), *extra, tmp=tmp)
    assert done.returncode == 0, done.stderr
    objects = [o for o in yaml.safe_load_all(done.stdout) if o is not None]
    found = {(o["kind"], o["metadata"]["name"]): o for o in objects}
    assert len(found) == len(objects)
    return found


def refused(*extra: str, tmp: Path, values: Path = SQLITE) -> str:
    done = helm("template", "live", str(CHART), "--values", str(values), *extra, tmp=tmp)
    assert done.returncode != 0, done.stdout
    return done.stderr


def pod_templates(objects: Objects) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for (kind, _), thing in objects.items():
        if kind == "Deployment":
            yield thing["spec"]["template"]["metadata"], thing["spec"]["template"]["spec"]
        elif kind == "Pod":
            yield thing["metadata"], thing["spec"]


def serve_container(objects: Objects) -> dict[str, Any]:
    (deployment,) = [o for (kind, _), o in objects.items() if kind == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(container)


def test_the_chart_is_clean_without_values_and_says_what_it_needs(tmp_path: Path) -> None:
    assert helm("lint", str(CHART), tmp=tmp_path).returncode == 0
    done = helm("template", "live", str(CHART), tmp=tmp_path)
    assert done.returncode != 0
    for key in ("image.repository", "image.digest", "--set-file state=deploy/state.yaml"):
        assert key in done.stderr


@pytest.mark.parametrize("values", SAMPLES, ids=lambda path: path.stem)
def test_sample_values_pass_the_linter_and_render_the_same_twice(values: Path, tmp_path: Path) -> None:
    done = helm("lint", "--strict", "--values", str(values), str(CHART), tmp=tmp_path)
    assert done.returncode == 0, done.stdout
    assert render(values, tmp=tmp_path) == render(values, tmp=tmp_path)


@pytest.mark.parametrize("values", SAMPLES, ids=lambda path: path.stem)
def test_rendered_objects_are_valid_for_kubernetes(values: Path, tmp_path: Path) -> None:
    program = binary("kubernetes-validate")
    file = tmp_path / "objects.yaml"
    file.write_text(yaml.safe_dump_all(render(values, tmp=tmp_path).values()))
    done = subprocess.run([program, "--strict", "--no-warn", "--quiet", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("values", SAMPLES, ids=lambda path: path.stem)
def test_every_pod_is_restricted_and_runs_the_same_image_by_digest(values: Path, tmp_path: Path) -> None:
    image = yaml.safe_load(values.read_text())["image"]
    pods = list(pod_templates(render(values, tmp=tmp_path)))
    assert len(pods) == 2  # the service and helm test
    for _, spec in pods:
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["image"] == f"{image['repository']}@{image['digest']}"
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in container["resources"]["limits"]


def test_sqlite_is_one_pod_stopped_before_the_next_and_its_volume_outlives_the_release(tmp_path: Path) -> None:
    objects = render(SQLITE, tmp=tmp_path)
    deployment = objects["Deployment", "live-remint"]["spec"]
    assert deployment["replicas"] == 1
    assert deployment["strategy"] == {"type": "Recreate"}
    claim = objects["PersistentVolumeClaim", "live-remint-store"]
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    kinds = {kind for kind, _ in objects}
    assert not kinds & {"HorizontalPodAutoscaler", "PodDisruptionBudget", "ServiceMonitor", "PrometheusRule"}
    assert deployment["template"]["metadata"]["labels"]["remint/track"] == "stable-canary"


@pytest.mark.parametrize("skip", [(), ("--skip-schema-validation",)], ids=["schema", "template"])
@pytest.mark.parametrize("setting", ["replicas=2", "autoscaling.enabled=true"])
def test_sqlite_with_more_than_one_pod_is_refused_also_without_the_schema(
    setting: str, skip: tuple[str, ...], tmp_path: Path
) -> None:
    assert setting.split("=")[0].split(".")[0] in refused("--set", setting, *skip, tmp=tmp_path)


def test_a_shared_store_scales_and_can_be_drained(tmp_path: Path) -> None:
    objects = render(SHARED, tmp=tmp_path)
    assert "replicas" not in objects["Deployment", "live-remint"]["spec"]
    assert objects["HorizontalPodAutoscaler", "live-remint"]["spec"]["minReplicas"] == 2
    assert ("PodDisruptionBudget", "live-remint") in objects
    assert not any(kind == "PersistentVolumeClaim" for kind, _ in objects)
    store = next(e for e in serve_container(objects)["env"] if e["name"] == "REMINT_STORE_URL")
    assert store["valueFrom"]["secretKeyRef"] == {"name": "churn-store", "key": "url"}
    stuck = ("autoscaling.enabled=false,podDisruptionBudget.minAvailable=2",)
    assert "minAvailable" in refused("--set", *stuck, tmp=tmp_path, values=SHARED)
    assert "store.url.secret" in refused("--set", "store.url.secret=", tmp=tmp_path, values=SHARED)


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("imgae.digest=x", "'imgae' not allowed"),
        ("image.tag=latest", "'tag' not allowed"),
        ("image.digest=latest", "/image/digest"),
        ("store.kind=mysql", "/store/kind"),
        ("store.sqlite.size=big", "/store/sqlite/size"),
        ("service.port=0", "/service/port"),
        ("probes.startupSecond=3", "'startupSecond' not allowed"),
    ],
)
def test_a_mistyped_or_impossible_value_is_refused_by_name(setting: str, named: str, tmp_path: Path) -> None:
    assert named in refused("--set", setting, tmp=tmp_path)


def test_every_default_is_described_by_the_schema_and_the_other_way_round() -> None:
    def keys(node: Any, at: str = "") -> set[str]:
        if not isinstance(node, dict) or at in {".resources.requests", ".resources.limits", ".dashboard.labels"}:
            return {at}
        return {at}.union(*(keys(value, f"{at}.{key}") for key, value in node.items()))

    def described(schema: Any, at: str = "") -> set[str]:
        return {at}.union(*(described(s, f"{at}.{key}") for key, s in schema.get("properties", {}).items()))

    schema = json.loads((CHART / "values.schema.json").read_text())
    defaults = keys(yaml.safe_load((CHART / "values.yaml").read_text()))
    assert described(schema) - {".global"} == defaults

    def open_objects(node: Any, at: str = "") -> list[str]:
        own = [at] if "properties" in node and node.get("additionalProperties") is not False else []
        return own + [x for key, s in node.get("properties", {}).items() for x in open_objects(s, f"{at}.{key}")]

    assert open_objects(schema) == []


STATE = {
    "schema": "remint/state/1.1",
    "pipeline": "churn",
    "release": "r3",
    "stable": "sha256:" + "b" * 64,
    "canary": "sha256:" + "c" * 64,
    "steps": [0.1, 0.5, 1.0],
    "step": 1,
    "runs": {"sha256:" + "c" * 64: "churn-20261121T115900Z-1a2b3c"},
}


def test_what_the_service_writes_as_state_is_what_the_chart_mounts(tmp_path: Path) -> None:
    state = ReleaseState.from_json(STATE)
    write_state(tmp_path / "state.yaml", state)
    objects = render(SQLITE, "--set-file", f"state={tmp_path / 'state.yaml'}", tmp=tmp_path)
    mounted = objects["ConfigMap", "live-remint-state"]["data"]["state.yaml"]
    assert ReleaseState.from_json(yaml.safe_load(mounted)) == state


def test_a_step_of_the_canary_changes_the_state_and_restarts_nothing(tmp_path: Path) -> None:
    rendered = []
    for step in (0, 1):
        file = tmp_path / f"{step}.yaml"
        write_state(file, ReleaseState.from_json({**STATE, "step": step}))
        rendered.append(render(SQLITE, "--set-file", f"state={file}", tmp=tmp_path))
    before, after = rendered
    assert [key for key in before if before[key] != after[key]] == [("ConfigMap", "live-remint-state")]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"step": 3}, "state.step"),
        ({"step": -2}, "state.step"),
        ({"step": 0.5}, "state.step"),
        ({"step": "1"}, "state.step"),
        ({"canary": None}, "there is no canary"),
        ({"canary": "sha256:abc"}, "state.canary"),
        ({"stable": None}, "state.stable"),
        ({"steps": []}, "state.steps"),
        ({"steps": [0.5, 0.1]}, "rise"),
        ({"steps": [0.5, 0.5]}, "rise"),
        ({"steps": [0, 1]}, "rise"),
        ({"steps": [0.5, 10]}, "at most 1"),
        ({"steps": ["0.1", 1]}, "not a number"),
        ({"release": "7"}, "state.release"),
        ({"pipeline": "Churn"}, "state.pipeline"),
        ({"schema": "remint/state/2.0"}, "state.schema"),
        ({"runs": ["x"]}, "state.runs"),
        ({"runs": {"sha256:abc": "churn-20261121T115900Z-1a2b3c"}}, "state.runs: sha256:abc"),
        ({"runs": {"sha256:" + "b" * 64: "yesterday"}}, "yesterday is not a bundle id and its run"),
        ({"weights": [90, 90]}, "state.weights: unknown key"),
    ],
)
def test_a_state_that_the_service_refuses_never_reaches_the_cluster(
    change: dict[str, object], named: str, tmp_path: Path
) -> None:
    file = tmp_path / "state.yaml"
    file.write_text(yaml.safe_dump({**STATE, **change}))
    assert named in refused("--set-file", f"state={file}", tmp=tmp_path)


def test_a_state_that_is_not_yaml_or_lacks_a_key_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "state.yaml"
    file.write_text("steps: [0.1")
    assert "not a YAML mapping" in refused("--set-file", f"state={file}", tmp=tmp_path)
    file.write_text(yaml.safe_dump({k: v for k, v in STATE.items() if k != "stable"}))
    assert "state.stable: is missing" in refused("--set-file", f"state={file}", tmp=tmp_path)


def test_the_pod_drains_before_it_is_killed(tmp_path: Path) -> None:
    spec = render(SQLITE, tmp=tmp_path)["Deployment", "live-remint"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    drain = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert drain < spec["terminationGracePeriodSeconds"]
    assert "drainSeconds" in refused("--set", "shutdown.graceSeconds=5", tmp=tmp_path)


def test_selectors_find_the_service_pod_and_never_the_test_pod(tmp_path: Path) -> None:
    objects = render(CANARY, tmp=tmp_path)
    (serving, _), (testing, _) = sorted(pod_templates(objects), key=lambda p: p[0].get("name", ""))
    for selector in (
        objects["Service", "live-remint"]["spec"]["selector"],
        objects["NetworkPolicy", "live-remint"]["spec"]["podSelector"]["matchLabels"],
        objects["Deployment", "live-remint"]["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= serving["labels"].items()
        assert not selector.items() <= testing["labels"].items()
    (rule,) = objects["NetworkPolicy", "live-remint"]["spec"]["ingress"]
    allowed = rule["from"][-1]["podSelector"]["matchLabels"]
    assert allowed.items() <= testing["labels"].items()
    assert objects["NetworkPolicy", "live-remint"]["spec"]["egress"] == []
    monitored = objects["ServiceMonitor", "live-remint"]["spec"]["selector"]["matchLabels"]
    assert monitored.items() <= objects["Service", "live-remint"]["metadata"]["labels"].items()


def test_the_operator_objects_carry_the_rules_and_the_dashboard_of_monitoring(tmp_path: Path) -> None:
    objects = render(CANARY, tmp=tmp_path)
    rules = yaml.safe_load((ROOT / "monitoring" / "rules.yaml").read_text())
    assert objects["PrometheusRule", "live-remint"]["spec"] == rules
    dashboard = objects["ConfigMap", "live-remint-dashboard"]["data"]["remint.json"]
    assert json.loads(dashboard) == json.loads((ROOT / "monitoring" / "dashboard.json").read_text())


def test_the_container_is_started_with_options_that_remint_serve_has(tmp_path: Path) -> None:
    from remint.cli.common import CommandParser
    from remint.cli.serve import configure

    parser = CommandParser()
    configure(parser)
    command, *arguments = serve_container(render(SQLITE, tmp=tmp_path))["args"]
    assert command == "serve"
    parsed = parser.parse_args(arguments)
    assert (parsed.host, parsed.port) == ("0.0.0.0", 8000)


def test_helm_test_asks_a_real_service_and_fails_on_a_model_that_answers_otherwise(tmp_path: Path) -> None:
    bundles = tmp_path / "bundles"
    bundles.mkdir()
    bundle = make_bundle(bundles)
    write_state(tmp_path / "state.yaml", state_of(bundle))
    write_params(tmp_path / "params.yaml")
    objects = render(SQLITE, tmp=tmp_path)
    _, _, program = objects["Pod", "live-remint-test"]["spec"]["containers"][0]["command"]
    serve = ["serve", "--state", "state.yaml", "--bundles", "bundles", "--store", "sqlite:///s.db", "--port", "0"]
    service = subprocess.Popen(
        [sys.executable, "-c", "from remint.cli import entry; entry()", *serve],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert service.stderr is not None
        line = next(line for line in service.stderr if "http://" in line)
        url = "http://" + line.split("http://")[1].split()[0].rstrip("/.,;")

        def ask() -> subprocess.CompletedProcess[str]:
            variables = {"REMINT_URL": url, "REMINT_BUNDLES": str(bundles), "PATH": os.environ["PATH"]}
            return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=variables)

        good = ask()
        assert good.returncode == 0, good.stderr
        assert bundle.id in good.stdout
        golden = bundles / bundle.id.removeprefix("sha256:") / "golden_predictions.json"
        rows = json.loads(golden.read_text())
        rows[0]["probabilities"].reverse()
        golden.write_text(json.dumps(rows))
        assert ask().returncode != 0
    finally:
        service.terminate()
        service.communicate(timeout=20)
