"""The ASGI app in process: real bundles, real SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

import remint
from remint.adapters.bundle import Bundle, Prediction
from remint.adapters.feedback_store import open_store
from remint.config import Serve
from remint.core.release import ReleaseState, Track, track_of
from remint.core.table import table_from_rows
from remint.errors import BundleError
from remint.serving.app import create_app
from remint.serving.loader import Release
from remint.serving.metrics import Metrics
from remint.serving.recorder import ModelError
from remint.serving.service import Service
from serving_examples import PIPELINE, ROW, faulty, make_bundle, state_of


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="module")
def stable(bundles: Path) -> Bundle:
    return make_bundle(bundles)


@pytest.fixture(scope="module")
def canary(bundles: Path) -> Bundle:
    return make_bundle(bundles, seed=1, flipped=True)


Story = Callable[[httpx.AsyncClient], Awaitable[None]]


@dataclass
class World:
    """A service, and what can be asked of it."""

    service: Service

    def run(self, *stories: Story) -> None:
        async def play() -> None:
            transport = httpx.ASGITransport(create_app(self.service), raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                for story in stories:
                    await story(client)
            await self.service.batcher.close()

        asyncio.run(play())

    def samples(self, name: str, **labels: str) -> dict[tuple[str, ...], float]:
        """Values above 0 by the labels that were not asked for, in the order of their names."""
        return samples(self.service.metrics.render()[0].decode(), name, **labels)


def samples(text: str, name: str, **labels: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(v for k, v in sorted(s.labels.items()) if k not in labels): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
        if s.name == name and s.value and all(s.labels[k] == v for k, v in labels.items())
    }


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    opened = []

    def make(state: ReleaseState, *models: Bundle, limits: Serve | None = None) -> World:
        limits = limits or Serve(min_free_bytes=0)
        store = open_store(f"sqlite:///{tmp_path}/x.db", pipeline=PIPELINE, create=True)
        opened.append(store)
        metrics = Metrics(PIPELINE, max_series=limits.max_series)
        by_track = dict(zip(Track, models, strict=False))
        metrics.activate({track: bundle.reference for track, bundle in by_track.items()}, state)
        release = Release(state=state, models=by_track)
        return World(Service(release, store=store, metrics=metrics, limits=limits, export_token="token"))

    yield make
    for store in opened:
        store.close()


async def predict(client: httpx.AsyncClient, *rows: dict[str, Any], unit: str | None = None) -> httpx.Response:
    headers = {"x-remint-unit": unit} if unit else {}
    return await client.post("/predict", json={"rows": list(rows or (ROW,))}, headers=headers)


async def tell(client: httpx.AsyncClient, prediction_id: str, answer: str, **more: object) -> httpx.Response:
    return await client.post("/feedback", json={"prediction_id": prediction_id, "answer": answer, **more})


def unit_on(state: ReleaseState, track: Track, skip: int = 0) -> str:
    units = (f"unit-{i}" for i in range(10_000))
    return [u for u, _ in zip((u for u in units if track_of(state, u) is track), range(skip + 1), strict=False)][-1]


def test_an_answer_is_what_was_logged(world: Callable[..., World], stable: Bundle) -> None:
    w = world(state_of(stable), stable)

    async def story(client: httpx.AsyncClient) -> None:
        body = (await predict(client, ROW)).json()
        assert (body["pipeline"], body["release"], body["track"]) == (PIPELINE, "r1", "stable")
        assert body["bundle"] == stable.id
        first = body["predictions"][0]
        assert sum(first["probabilities"].values()) == pytest.approx(1)
        stored = w.service.store.prediction(first["prediction_id"])
        assert stored is not None
        assert (stored.row, stored.predicted, stored.confidence) == (ROW, first["label"], first["confidence"])

    async def infinity(client: httpx.AsyncClient) -> None:
        answer = await predict(client, {"x": 1, "y": "-inf"})
        assert answer.status_code == 500  # scikit-learn refuses infinity: the model's failure, not a lost connection

    async def missing(client: httpx.AsyncClient) -> None:
        answer = await client.post("/predict", json={"row": {"x": None, "y": " 3 "}})
        stored = w.service.store.prediction(answer.json()["predictions"][0]["prediction_id"])
        assert stored is not None
        assert stored.row == {"x": None, "y": 3.0}

    w.run(story, infinity, missing)


def test_an_infinite_value_is_logged_as_text(world: Callable[..., World], stable: Bundle) -> None:
    w = world(state_of(stable), stable)
    table = table_from_rows(stable.schema, [{"x": "inf", "y": 1}])
    prediction = stable.predict(table_from_rows(stable.schema, [ROW]))
    monitor = remint.instrument(None, stable, store=f"sqlite:///{w.service.store.path}", limits=Serve(min_free_bytes=0))
    [prediction_id] = monitor.observe(table, prediction)
    stored = w.service.store.prediction(prediction_id)
    assert stored is not None
    assert stored.row == {"x": "inf", "y": 1.0}
    assert table_from_rows(stable.schema, [stored.row]).columns["x"][0] == np.inf
    asyncio.run(monitor.close())


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "not JSON"),
        (b"[]", 422, "expected one key"),
        (b'{"rows": []}', 422, "at least one row"),
        (b'{"rows": [1]}', 422, "row 0: is not an object"),
        (b'{"row": {"x": 1, "yy": 2}}', 422, "did you mean 'y'"),
        (b'{"row": {"x": 1}}', 422, "y"),
        (b'{"row": {"x": "tall", "y": 2}}', 422, "'tall' is not a number"),
        (b'{"row": {"x": 1, "y": 2}, "rows": []}', 422, "expected one key"),
        (b'{"rows": [' + b'{"x": 1, "y": 2},' * 3 + b'{"x": 1, "y": 2}]}', 413, "4 rows, more than 3"),
        (b" " * 501, 413, "more than 500 bytes"),
    ],
)
def test_bad_input_is_one_clear_line(
    world: Callable[..., World], stable: Bundle, body: bytes, status: int, message: str
) -> None:
    w = world(state_of(stable), stable, limits=Serve(min_free_bytes=0, max_rows=3, max_request_bytes=500))

    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.post("/predict", content=body)
        assert (answer.status_code, message in answer.json()["message"]) == (status, True), answer.text

    w.run(story)


def test_a_unit_keeps_its_track_by_header_and_by_cookie(
    world: Callable[..., World], stable: Bundle, canary: Bundle
) -> None:
    state = state_of(stable, canary, step=1)
    w = world(state, stable, canary)

    async def story(client: httpx.AsyncClient) -> None:
        for track in Track:
            answer = await predict(client, unit=unit_on(state, track))
            assert (answer.json()["track"], "set-cookie" in answer.headers) == (track.value, False)
            assert answer.json()["bundle"] == {Track.STABLE: stable, Track.CANARY: canary}[track].id
        tracks = []
        for _ in range(4):
            answer = await predict(client)  # httpx keeps the first answer's cookie
            tracks.append(answer.json()["track"])
        assert len(set(tracks)) == 1
        client.cookies.clear()
        drawn = set()
        for _ in range(40):
            client.cookies.clear()
            drawn.add((await predict(client)).json()["track"])
        assert drawn == {"stable", "canary"}  # a client without cookies is drawn anew: 40 draws miss one by 2e-12
        assert (await predict(client, unit="x" * 201)).status_code == 422

    w.run(story)


def test_bins_count_every_row_and_start_at_zero(world: Callable[..., World], stable: Bundle) -> None:
    w = world(state_of(stable), stable)
    text = w.service.metrics.render()[0].decode()
    assert text.count("remint_bin_total{") == stable.reference.series
    assert w.samples("remint_bin_total") == {}
    values = [-50, -1, 0.1, 0.2, 70, None]

    async def story(client: httpx.AsyncClient) -> None:
        await asyncio.gather(*(predict(client, {"x": x, "y": 0}, {"x": x, "y": 0}) for x in values))

    w.run(story)
    counts = w.samples("remint_bin_total", field="x", track="stable", reference=stable.reference.id, pipeline=PIPELINE)
    expected = 2 * stable.reference.field("x").count(np.array(values, dtype=np.float64))
    assert counts == {(str(i),): n for i, n in enumerate(expected.tolist()) if n}
    assert sum(w.samples("remint_bin_total", field="@prediction").values()) == 2 * len(values)
    assert list(w.samples("remint_predictions_total").values()) == [2 * len(values)]


def test_too_many_series_are_refused_with_their_number(world: Callable[..., World], stable: Bundle) -> None:
    with pytest.raises(BundleError, match=f"{stable.reference.series} remint_bin_total series"):
        world(state_of(stable), stable, limits=Serve(max_series=10))


def test_feedback_is_joined_counted_and_idempotent(world: Callable[..., World], stable: Bundle) -> None:
    w = world(state_of(stable), stable)

    async def story(client: httpx.AsyncClient) -> None:
        one = (await predict(client)).json()["predictions"][0]
        other = {"no": "yes", "yes": "no"}[one["label"]]
        first = await tell(client, one["prediction_id"], "wrong", reporter="ann")
        assert first.json() == {
            "prediction_id": one["prediction_id"],
            "sequence": 1,
            "answer": "wrong",
            "label": other,
            "stored": True,
        }
        again = await tell(client, one["prediction_id"], "wrong", reporter="ann")
        assert (again.status_code, again.json()["sequence"], again.json()["stored"]) == (200, 1, False)
        changed = await tell(client, one["prediction_id"], "correct", reporter="ann")
        assert changed.json()["sequence"] == 2
        assert (await tell(client, one["prediction_id"], "unknown", reporter="bob")).json()["label"] is None

    w.run(story)
    # A counter cannot take an answer back: it counts a reporter's first; the store knows the newest.
    assert w.samples("remint_feedback_total", pipeline=PIPELINE, reference=stable.reference.id, track="stable") == {
        ("wrong",): 1,
        ("unknown",): 1,
    }
    assert w.samples("remint_feedback_sequence", pipeline=PIPELINE) == {(): 3}
    assert len(w.samples("remint_feedback_arrived_timestamp_seconds")) == 1
    assert [(r.sequence, r.label) for r in w.service.store.feedback_rows()][-1] == (3, None)
    assert b"ann" not in w.service.store.path.read_bytes()


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"prediction_id": "p_made_up"}, 404, "no such prediction"),
        ({"prediction_id": None}, 422, "a prediction id is needed"),
        ({"answer": "wrog"}, 422, "did you mean 'wrong'"),
        ({"label": "maybe"}, 422, "'maybe' is not a known class"),
        ({"label": ["no"]}, 422, "label"),
        ({"reporter": 5}, 422, "reporter"),
        ({"lable": "no"}, 422, "did you mean 'label'"),
    ],
)
def test_feedback_that_cannot_be_is_refused(
    world: Callable[..., World], stable: Bundle, change: dict[str, object], status: int, message: str
) -> None:
    w = world(state_of(stable), stable)

    async def story(client: httpx.AsyncClient) -> None:
        prediction = (await predict(client)).json()["predictions"][0]["prediction_id"]
        body = {"prediction_id": prediction, "answer": "wrong", **change}
        answer = await client.post("/feedback", json=body)
        assert (answer.status_code, message in answer.json()["message"]) == (status, True), answer.text

    w.run(story)
    assert w.service.store.newest_sequence() == (0, None)


def test_an_id_with_our_tag_but_without_a_row_is_unknown(world: Callable[..., World], stable: Bundle) -> None:
    w = world(state_of(stable), stable)

    async def story(client: httpx.AsyncClient) -> None:
        assert (await tell(client, w.service.store.new_prediction_id(), "correct")).status_code == 404

    w.run(story)


def test_many_classes_need_the_right_label(world: Callable[..., World], bundles: Path) -> None:
    three = make_bundle(bundles, classes=("a", "b", "c"))
    w = world(state_of(three), three)

    async def story(client: httpx.AsyncClient) -> None:
        one = (await predict(client)).json()["predictions"][0]
        assert (await tell(client, one["prediction_id"], "wrong")).json()["label"] is None

    w.run(story)
    assert w.samples("remint_feedback_total") != {}


def test_late_feedback_is_judged_by_the_model_that_predicted(
    world: Callable[..., World], stable: Bundle, bundles: Path
) -> None:
    three = make_bundle(bundles, classes=("a", "b", "c"))
    w = world(state_of(stable), stable)

    async def story(client: httpx.AsyncClient) -> None:
        early = [p["prediction_id"] for p in (await predict(client, ROW, ROW)).json()["predictions"]]
        w.service.metrics.activate({Track.STABLE: three.reference}, state_of(three))
        w.service.swap(Release(state=state_of(three), models={Track.STABLE: three}))
        assert (await tell(client, early[0], "wrong")).json()["label"] in {"no", "yes"}
        assert (await tell(client, early[1], "wrong", label="c")).json()["label"] == "c"  # a class that serves now

    w.run(story)
    old = w.samples("remint_feedback_total", pipeline=PIPELINE, reference=stable.reference.id, track="stable")
    assert old == {("wrong",): 2}
    assert sum(w.samples("remint_bin_total", reference=stable.reference.id, field="x").values()) == 2  # still there


def test_only_a_units_first_request_counts_and_its_rows_count_once(
    world: Callable[..., World], stable: Bundle, canary: Bundle
) -> None:
    state = state_of(stable, canary, step=1)
    w = world(state, stable, canary)
    on_stable, on_canary = unit_on(state, Track.STABLE), unit_on(state, Track.CANARY)

    async def story(client: httpx.AsyncClient) -> None:
        first = (await predict(client, ROW, ROW, ROW, unit=on_canary)).json()["predictions"]
        later = (await predict(client, unit=on_canary)).json()["predictions"]
        await predict(client, unit=on_stable)
        await tell(client, later[0]["prediction_id"], "wrong")  # not of the first request
        await tell(client, first[0]["prediction_id"], "unknown")  # no answer yet
        await tell(client, first[1]["prediction_id"], "correct")
        await tell(client, first[2]["prediction_id"], "wrong")  # the unit has counted

    w.run(story)
    expected = {
        ("ok", "error", "canary"): 1,
        ("ok", "error", "stable"): 1,
        ("valid", "output", "canary"): 1,
        ("valid", "output", "stable"): 1,
        ("right", "feedback", "canary"): 1,
    }
    assert w.samples("remint_unit_outcomes_total", pipeline=PIPELINE, release="r1", step="1") == expected
    # A restart starts the counters at 0; the records stay, so no unit is counted twice.
    again = world(state, stable, canary)

    async def second_life(client: httpx.AsyncClient) -> None:
        await predict(client, unit=on_canary)

    again.run(second_life)
    assert again.samples("remint_unit_outcomes_total") == {}
    stored = again.service.store.unit_outcomes("r1")
    assert {(bucket, signal, track.value): n for _, track, signal, bucket, n in stored} == expected


def test_without_a_coin_flip_no_unit_is_spent(world: Callable[..., World], stable: Bundle, canary: Bundle) -> None:
    before = state_of(stable, canary, step=-1)
    w = world(before, stable, canary)
    drawn = replace(before, step=1)

    async def story(client: httpx.AsyncClient) -> None:
        await predict(client, unit="ann")
        assert w.service.store.unit_outcomes("r1") == []
        w.service.metrics.activate({t: b.reference for t, b in w.service.release.models.items()}, drawn)
        w.service.swap(Release(state=drawn, models=w.service.release.models))
        await predict(client, unit="ann")

    w.run(story)
    assert sum(w.samples("remint_unit_outcomes_total", signal="error").values()) == 1


def test_a_failing_model_fails_only_its_own_requests(
    world: Callable[..., World], stable: Bundle, canary: Bundle
) -> None:
    state = state_of(stable, canary, step=2)  # all to the canary
    w = world(state, stable, faulty(canary))

    async def story(client: httpx.AsyncClient) -> None:
        xs = [0.0, 2e6, -2e6, 1.0, 2e6, 0.5]
        answers = await asyncio.gather(*(predict(client, {"x": x, "y": 0}, unit=f"u{x}{i}") for i, x in enumerate(xs)))
        assert [a.status_code for a in answers] == [200, 500, 500, 200, 500, 200]
        assert answers[1].json() == {"error": "model", "message": "the model raised ZeroDivisionError"}
        assert "broken" in answers[2].json()["message"]

    w.run(story)
    assert w.samples("remint_unit_outcomes_total", pipeline=PIPELINE, release="r1", step="2", track="canary") == {
        ("ok", "error"): 3,
        ("error", "error"): 3,
        ("valid", "output"): 3,
        ("broken", "output"): 1,
    }
    assert w.samples("remint_model_failures_total", pipeline=PIPELINE, track="canary") == {
        ("error",): 2,
        ("broken",): 1,
    }
    assert sum(w.samples("remint_predictions_total").values()) == 3
    assert len(w.service.store.unit_outcomes("r1")) == 4  # durable


def test_too_little_free_space_is_507_and_nothing_is_kept(world: Callable[..., World], stable: Bundle) -> None:
    w = world(state_of(stable), stable, limits=Serve(min_free_bytes=10**18))

    async def story(client: httpx.AsyncClient) -> None:
        assert (await predict(client)).status_code == 507
        assert (await tell(client, w.service.store.new_prediction_id(), "correct")).status_code == 507

    w.run(story)
    assert w.samples("remint_predictions_total") == {}


def test_the_export_needs_its_token(world: Callable[..., World], stable: Bundle) -> None:
    w = world(state_of(stable), stable)

    async def story(client: httpx.AsyncClient) -> None:
        rows = [ROW] * 5
        for one in (await predict(client, *rows)).json()["predictions"]:
            await tell(client, one["prediction_id"], "correct")
        assert (await client.get("/feedback/export")).status_code == 401
        assert (await client.get("/feedback/export", headers={"authorization": "Bearer no"})).status_code == 401
        good = {"authorization": "Bearer token"}
        answer = await client.get("/feedback/export?after=1&until=3", headers=good)
        assert [httpx.Response(200, text=line).json()["sequence"] for line in answer.text.splitlines()] == [2, 3]
        assert answer.headers["x-remint-until"] == "3"
        everything = await client.get("/feedback/export?until=99", headers=good)
        assert (len(everything.text.splitlines()), everything.headers["x-remint-until"]) == (5, "5")
        assert (await client.get("/feedback/export?after=x", headers=good)).status_code == 422
        w.service.export_token = None
        assert (await client.get("/feedback/export", headers=good)).status_code == 404

    w.run(story)


def test_draining_turns_new_predictions_away(world: Callable[..., World], stable: Bundle) -> None:
    w = world(state_of(stable), stable)

    async def story(client: httpx.AsyncClient) -> None:
        assert (await client.get("/readyz")).status_code == 200
        w.service.draining = True
        assert [(await client.get("/readyz")).status_code, (await predict(client)).status_code] == [503, 503]
        assert (await client.get("/healthz")).status_code == 200

    w.run(story)


def test_the_service_says_which_run_made_what_it_serves(
    world: Callable[..., World], stable: Bundle, canary: Bundle
) -> None:
    run_id = "shop-20261121T115900Z-1a2b3c"
    w = world(replace(state_of(stable, canary, step=0), runs={canary.id: run_id}), stable, canary)

    async def story(client: httpx.AsyncClient) -> None:
        info = (await client.get("/model/info")).json()
        assert (info["stable"]["run"], info["canary"]["run"]) == (None, run_id)

    w.run(story)
    labels = {"pipeline": PIPELINE, "release": "r1"}
    assert w.samples("remint_model_info", **labels, bundle=canary.id, track="canary", run=run_id)
    assert w.samples("remint_model_info", **labels, bundle=stable.id, track="stable", run="")


def test_an_app_that_is_not_ours_gets_the_same_contract(tmp_path: Path, stable: Bundle) -> None:
    async def theirs(scope: Any, receive: Any, send: Any) -> None:
        """A bare ASGI app: predicts for /score?x=..., answers 404 to the rest."""
        found = scope["path"] == "/score"
        body = b"not here"
        if found:
            x = float(scope["query_string"].decode().removeprefix("x="))
            table = table_from_rows(stable.schema, [{"x": x, "y": 0}])
            ids = await asyncio.to_thread(monitor.observe, table, stable.predict(table), subject="jane")
            body = ids[0].encode()
        await send({"type": "http.response.start", "status": 200 if found else 404, "headers": []})
        await send({"type": "http.response.body", "body": body})

    url = f"sqlite:///{tmp_path}/x.db"
    monitor = remint.instrument(theirs, stable, store=url, release="r4", limits=Serve(min_free_bytes=0))

    async def story() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(monitor), base_url="http://test") as client:
            prediction_id = (await client.get("/score?x=1.5")).text
            assert (await client.get("/elsewhere")).text == "not here"
            assert (await tell(client, prediction_id, "wrong")).status_code == 200
            info = (await client.get("/model/info")).json()
            assert (info["release"], info["stable"]["bundle"]) == ("r4", stable.id)
            text = (await client.get("/metrics")).text
            reference = stable.reference.id
            assert sum(samples(text, "remint_bin_total", field="x", reference=reference, track="stable").values()) == 1
            assert samples(text, "remint_feedback_total", pipeline=PIPELINE, reference=reference, track="stable") == {
                ("wrong",): 1
            }
        broken = Prediction(np.array(["no"], dtype=object), np.array([np.nan]), np.full((1, 2), np.nan))
        with pytest.raises(ModelError):
            monitor.observe(table_from_rows(stable.schema, [ROW]), broken)
        await monitor.close()

    asyncio.run(story())
    with open_store(url) as store:
        assert [p.row["x"] for p in store.predictions_of_subject("jane")] == [1.5]


def test_a_bug_is_500_counted_and_not_the_end(
    world: Callable[..., World], stable: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    w = world(state_of(stable), stable)

    async def story(client: httpx.AsyncClient) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(w.service.store, "new_prediction_id", lambda: 1 / 0)
            assert (await predict(client)).status_code == 500
        assert (await predict(client)).status_code == 200

    w.run(story)
    assert w.samples("remint_requests_total", pipeline=PIPELINE) == {("200", "predict"): 1, ("500", "predict"): 1}
