"""The Prometheus client on captured answers (tests/samples/prometheus): each way to fail, and what is sent."""

from __future__ import annotations

import json
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from remint.adapters.prometheus import PrometheusClient
from remint.adapters.prometheus_access import access_from_environment
from remint.adapters.prometheus_counts import increases
from remint.adapters.prometheus_silence import parse_retention, refuse_short_retention
from remint.errors import (
    AmbiguousSeriesError,
    ConfigError,
    NoDataError,
    RemintError,
    RetentionError,
    ServiceError,
    Silence,
)

SAMPLES = Path(__file__).parents[1] / "samples" / "prometheus"
NOW = datetime(2026, 11, 21, 5, 56, 41, tzinfo=UTC)
SECRET = "hunter2-very-secret"


class Answers:
    """Gives one captured answer to everything, or what ``answer`` makes of the path and form; keeps what was asked."""

    def __init__(self) -> None:
        self.answer: Callable[[str, dict[str, list[str]]], object] | None = None
        self.status, self.body, self.headers = 200, b"", {"Content-Type": "application/json"}
        self.asked: list[tuple[str, dict[str, str], dict[str, list[str]]]] = []
        answers = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                path, _, query = self.path.partition("?")
                form = parse_qs(query) | parse_qs(sent)
                answers.asked.append((path, dict(self.headers), form))
                if answers.answer is not None:
                    answers.say(answers.answer(path, form))
                self.send_response(answers.status)
                for name, value in answers.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answers.body)))
                self.end_headers()
                self.wfile.write(answers.body)

            do_GET = do_POST  # noqa: N815 - a redirect would come back as GET

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def give(self, sample: str, status: int = 200, **headers: str) -> None:
        self.status = status
        self.body = (SAMPLES / sample).read_bytes()
        self.headers = {"Content-Type": "text/html" if sample.endswith("html") else "application/json", **headers}

    def say(self, body: object, status: int = 200) -> None:
        """A body of one's own: JSON, or a text as it is."""
        self.status, self.headers = status, {"Content-Type": "application/json"}
        self.body = (body if isinstance(body, str) else json.dumps(body)).encode()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def server() -> Iterator[Answers]:
    running = Answers()
    yield running
    running.close()


@pytest.fixture
def answers(server: Answers) -> Answers:
    server.asked.clear()
    server.answer = None
    return server


def ask(url: str, **environ: str) -> float:
    variables = {f"REMINT_PROMETHEUS_{name}": value for name, value in environ.items()}
    return PrometheusClient(url, timeout_seconds=5, environ=variables).newest("x_total", {"a": "b"}, at=NOW)


def test_a_good_answer_is_read_and_asked_for_by_post(answers: Answers) -> None:
    answers.give("vector.json")
    assert ask(answers.url) == 2
    path, headers, form = answers.asked[0]
    assert path == "/api/v1/query"
    assert form["query"] == ['x_total{a="b"}']
    assert form["time"] == ["1795240601.000"]
    assert form["partial_response"] == ["false"]
    assert form["max_source_resolution"] == ["0s"]
    assert (form["nocache"], form["deny_partial_response"]) == (["1"], ["1"])
    assert "Authorization" not in headers


@pytest.mark.parametrize(
    ("sample", "status", "error", "words"),
    [
        ("empty.json", 200, NoDataError, "no series"),
        ("nan.json", 200, NoDataError, "not a number"),
        ("bad_query.json", 400, ConfigError, "parse error"),
        ("login.html", 401, ConfigError, "REMINT_PROMETHEUS_TOKEN"),
        ("login.html", 403, ConfigError, "REMINT_PROMETHEUS_TOKEN"),
        ("login.html", 404, ConfigError, "no Prometheus query API"),
        ("too_many_samples.json", 422, ConfigError, "too many samples"),
        ("login.html", 429, ServiceError, "takes no more queries"),
        ("login.html", 500, ServiceError, "failed with 500: no reason given"),
        ("timeout.json", 503, ServiceError, "gave up on the query"),
        ("login.html", 200, ServiceError, "did not answer as Prometheus does"),
        ("odd.json", 200, ServiceError, "did not answer as Prometheus does"),
    ],
)
def test_each_bad_answer_is_one_error_after_one_request(
    answers: Answers, sample: str, status: int, error: type[RemintError], words: str
) -> None:
    answers.give(sample, status)
    with pytest.raises(error, match=words) as caught:
        ask(answers.url)
    assert type(caught.value) is error
    assert "<html" not in str(caught.value)
    assert len(answers.asked) == 1  # no retries


def test_a_redirect_to_a_login_page_is_not_followed(answers: Answers) -> None:
    answers.give("login.html", 302, Location="/login?token=abc")
    with pytest.raises(ConfigError, match="redirects"):
        ask(answers.url)
    assert len(answers.asked) == 1


def test_a_dead_server_answers_at_once() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(ServiceError, match="cannot be reached: connection refused"):
            ask(url)
    assert time.monotonic() - began < 1.5


def test_a_server_that_hangs_is_left_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(ServiceError, match=r"no answer within 0\.2 s"):
            PrometheusClient(url, timeout_seconds=0.2, environ={}).newest("x", {}, at=NOW)


def test_bearer_basic_and_tenant_are_sent(answers: Answers) -> None:
    answers.give("vector.json")
    ask(answers.url, TOKEN=f" {SECRET}\n", TENANT="team-7")
    ask(answers.url, USERNAME="me", PASSWORD=SECRET)
    ask(answers.url.replace("http://", f"http://me:{SECRET}@"))
    bearer, basic, from_url = (headers for _, headers, _ in answers.asked)
    assert bearer["Authorization"] == f"Bearer {SECRET}"
    assert bearer["X-Scope-OrgID"] == "team-7"
    assert basic["Authorization"] == "Basic " + b64encode(f"me:{SECRET}".encode()).decode()
    assert from_url["Authorization"] == basic["Authorization"]


def test_a_netrc_does_not_replace_the_credentials(
    answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1\nlogin other\npassword other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    answers.give("vector.json")
    ask(answers.url)
    ask(answers.url, TOKEN=SECRET)
    nobody, bearer = (headers for _, headers, _ in answers.asked)
    assert "Authorization" not in nobody
    assert bearer["Authorization"] == f"Bearer {SECRET}"


def test_no_error_and_no_representation_shows_a_secret(answers: Answers) -> None:
    answers.give("login.html", 401)
    texts = []
    for url, environ in (
        (answers.url, {"TOKEN": SECRET}),
        (answers.url, {"USERNAME": "me", "PASSWORD": SECRET}),
        (answers.url.replace("http://", f"http://me:{SECRET}@"), {}),
        (f"http://me:{SECRET}@127.0.0.1:1", {}),
        (f"ftp://me:{SECRET}@127.0.0.1", {}),
        (f"http://me:{SECRET}@127.0.0.1:notaport", {}),
        (answers.url, {"TOKEN": f"{SECRET}\nx-evil: 1"}),
        (answers.url, {"TOKEN": SECRET, "USERNAME": "me"}),
        (answers.url, {"PASSWORD": SECRET}),
    ):
        with pytest.raises(RemintError) as caught:
            ask(url, **environ)
        texts.append(str(caught.value))
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert not [text for text in texts if SECRET in text]
    access = access_from_environment(answers.url, {"REMINT_PROMETHEUS_TOKEN": SECRET})
    assert SECRET not in repr(access)


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"CA_FILE": "/no/such/ca.pem"}, "REMINT_PROMETHEUS_CA_FILE: no such file"),
        ({"CLIENT_CERT": "/no/such/cert.pem"}, "REMINT_PROMETHEUS_CLIENT_CERT: no such file"),
        ({"TOKEN": "t", "USERNAME": "u"}, "both a token and a user name"),
        ({"PASSWORD": "p"}, "a password without a user name"),
    ],
)
def test_credentials_that_contradict_themselves_name_the_variable(environ: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ask("http://127.0.0.1:9", **environ)


def test_certificates_and_a_ca_of_ones_own_reach_the_session(tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / name).write_text("-")
    variables = {"CA_FILE": "ca", "CLIENT_CERT": "cert", "CLIENT_KEY": "key"}
    access = access_from_environment(
        "https://prometheus.example:9090/prefix/",
        {f"REMINT_PROMETHEUS_{name}": str(tmp_path / file) for name, file in variables.items()},
    )
    session = access.session()
    assert session.verify == str(tmp_path / "ca")
    assert session.cert == (str(tmp_path / "cert"), str(tmp_path / "key"))
    assert access.url == "https://prometheus.example:9090/prefix"


# -- what Thanos, Mimir and VictoriaMetrics say otherwise (constructed after their documentation and sources) ----------


def vector(*series: tuple[dict[str, str], str], **envelope: object) -> dict[str, object]:
    result = [{"metric": labels, "value": [1795240601.034, value]} for labels, value in series]
    return {"status": "success", "data": {"resultType": "vector", "result": result}, **envelope}


@pytest.mark.parametrize(
    ("envelope", "error", "words"),
    [
        ({"warnings": ["No StoreAPIs matched for this query"]}, ServiceError, "in part only: No StoreAPIs"),  # Thanos
        ({"isPartial": True}, ServiceError, "some storage nodes did not answer"),  # a VictoriaMetrics cluster
        ({"warnings": ["PromQL warning: quantile value should be between 0 and 1"]}, ConfigError, "doubts the query"),
    ],
)
def test_a_partial_answer_is_no_answer(
    answers: Answers, envelope: dict[str, object], error: type[RemintError], words: str
) -> None:
    answers.say(vector(({}, "2"), **envelope))
    with pytest.raises(error, match=words):
        ask(answers.url)


def test_a_remark_about_the_query_does_not_spoil_the_answer(answers: Answers) -> None:
    answers.say(
        vector(({}, "2"), warnings=["PromQL info: metric might not be a counter"], isPartial=False, infos=["x"])
    )
    assert ask(answers.url) == 2


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, "no org id", "REMINT_PROMETHEUS_TENANT"),  # Mimir, Cortex
        (400, 'unsupported path requested: "/x/api/v1/query"', "/select/0/prometheus"),  # VictoriaMetrics
        (422, {"status": "error", "errorType": "422", "error": 'unparsed data: ""'}, "cannot run the query: unparsed"),
        (
            422,
            {"status": "error", "error": "err-mimir-max-chunks-per-query: exceeded the limit"},
            "shorter check.window",
        ),
    ],
)
def test_what_to_do_is_said_in_the_servers_own_terms(answers: Answers, status: int, body: object, words: str) -> None:
    answers.say(body, status)
    with pytest.raises(ConfigError, match=words):
        ask(answers.url)


# -- signals -----------------------------------------------------------------------------------------------------------


def signal(url: str, promql: str = "errors:ratio") -> float:
    return PrometheusClient(url, timeout_seconds=5, environ={}).signal(promql, at=NOW)


def scalar(kind: str, value: str) -> dict[str, object]:
    return {"status": "success", "data": {"resultType": kind, "result": [1795240601.034, value]}}


def test_a_scalar_and_a_lone_series_are_signals(answers: Answers) -> None:
    answers.say(scalar("scalar", "0.25"))
    assert signal(answers.url) == 0.25
    answers.say(vector(({"job": "x"}, "0.5")))
    assert signal(answers.url) == 0.5


def test_several_series_are_no_signal_and_their_labels_are_named(answers: Answers) -> None:
    answers.say(vector(({"pod": "a"}, "1"), ({"pod": "b"}, "2")))
    with pytest.raises(AmbiguousSeriesError, match=r"label 'pod': 'a', 'b'"):
        signal(answers.url)


@pytest.mark.parametrize("body", [scalar("scalar", "NaN"), vector(({}, "NaN")), vector(({}, "+Inf"))])
def test_nan_is_a_silence_of_its_own(answers: Answers, body: object) -> None:
    answers.say(body)
    with pytest.raises(NoDataError, match="errors:ratio is not a number") as caught:
        signal(answers.url)
    assert caught.value.silence is Silence.NAN


def test_a_syntax_error_is_said_with_its_position_and_the_query(answers: Answers) -> None:
    answers.give("bad_query.json", 400)
    with pytest.raises(ConfigError, match=r"1:9: parse error.*the query is sum\("):
        signal(answers.url, "sum(")


@pytest.mark.parametrize("body", [scalar("string", "text"), "range"])
def test_what_is_not_one_number_is_a_mistake_in_the_query(answers: Answers, body: object) -> None:
    if body == "range":
        values = [[1795240601.0, "1"], [1795240602.0, "2"]]
        body = {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": values}]}}
    answers.say(body)
    with pytest.raises(ConfigError, match="a signal is one number"):
        signal(answers.url)


@pytest.mark.parametrize(
    ("promql", "silence"),
    [
        ("errors > 5", Silence.EMPTY),
        ("errors > bool 5", Silence.NO_SERIES),
        ('errors{path!="/",q=~"a>b"}', Silence.NO_SERIES),
        ("errors unless on(x) y", Silence.EMPTY),
    ],
)
def test_a_comparison_that_does_not_hold_is_not_an_absent_series(
    answers: Answers, promql: str, silence: Silence
) -> None:
    answers.give("empty.json")
    with pytest.raises(NoDataError) as caught:
        signal(answers.url, promql)
    assert caught.value.silence is silence


# -- retention and resets ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kept", "sized"),
    [
        ("15d", timedelta(days=15), False),
        ("15d or 512MB", timedelta(days=15), True),
        ("1y2w", timedelta(days=379), False),
        ("512MiB", None, True),
        ("12h30m", timedelta(hours=12.5), False),
        ("", None, True),
    ],
)
def test_what_a_server_says_it_keeps_is_read(text: str, kept: timedelta | None, sized: bool) -> None:
    assert parse_retention(text) == (kept, sized)


def check_retention(url: str, *, days: float) -> None:
    client = PrometheusClient(url, timeout_seconds=5, environ={})
    start = NOW - timedelta(days=days)
    refuse_short_retention(client, "x_total", {"a": "b"}, start=start, end=NOW, now=NOW)


def test_a_window_longer_than_the_retention_is_refused(answers: Answers) -> None:
    answers.say({"status": "success", "data": {"storageRetention": "15d"}})
    check_retention(answers.url, days=15)
    assert [path for path, _, _ in answers.asked] == ["/api/v1/status/runtimeinfo"]
    with pytest.raises(RetentionError, match=r"keeps samples for 15d, and the window begins 30 d ago .*check.window"):
        check_retention(answers.url, days=30)


@pytest.mark.parametrize(("counted_before", "refused"), [("1", True), (None, False)])
def test_where_nothing_is_said_a_counter_cut_off_in_the_middle_tells(
    answers: Answers, counted_before: str | None, refused: bool
) -> None:
    """Nothing at the window's start, samples from the middle on, and the counters were or were not at 0 then."""
    first = (NOW - timedelta(days=3)).timestamp()

    def answer(path: str, form: dict[str, list[str]]) -> object:
        if path.endswith("runtimeinfo"):
            return 'unsupported path requested: "/api/v1/status/runtimeinfo"'
        if path.endswith("query_range"):
            sample = {"metric": {}, "values": [[first, "2"]]}
            return {"status": "success", "data": {"resultType": "matrix", "result": [sample]}}
        if "min_over_time" in form["query"][0] and counted_before:
            return vector(({}, counted_before))
        return vector()

    answers.answer = answer
    if refused:
        with pytest.raises(RetentionError, match="has nothing from before about"):
            check_retention(answers.url, days=7)
    else:
        check_retention(answers.url, days=7)


def test_a_reset_without_raw_samples_is_said_as_such(answers: Answers) -> None:
    """Downsampled: the server counts a reset, and its raw samples are gone."""

    def answer(path: str, form: dict[str, list[str]]) -> object:
        query = form["query"][0]
        if path.endswith("query_range") or query.startswith("x_total"):
            return {"status": "success", "data": {"resultType": "matrix", "result": []}}
        return vector(({"pod": "a"}, "1"))

    answers.answer = answer
    client = PrometheusClient(answers.url, timeout_seconds=5, environ={})
    with pytest.raises(NoDataError, match=r"pod=\"a\".* was reset between .* no raw sample shows it") as caught:
        increases(client, "x_total", {}, by=(), start=NOW - timedelta(hours=2), end=NOW)
    assert caught.value.silence is Silence.COUNTER_RESET
