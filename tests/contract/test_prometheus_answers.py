"""The Prometheus client on captured answers (tests/samples/prometheus): each way to fail, and what is sent."""

from __future__ import annotations

import socket
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from remint.adapters.prometheus import PrometheusClient
from remint.adapters.prometheus_access import access_from_environment
from remint.errors import ConfigError, NoDataError, RemintError, ServiceError

SAMPLES = Path(__file__).parents[1] / "samples" / "prometheus"
NOW = datetime(2026, 11, 21, 5, 56, 41, tzinfo=UTC)
SECRET = "hunter2-very-secret"


class Answers:
    """Gives one captured answer to everything, and keeps what was asked."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, b"", {"Content-Type": "application/json"}
        self.asked: list[tuple[str, dict[str, str], dict[str, list[str]]]] = []
        answers = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                path, _, query = self.path.partition("?")
                answers.asked.append((path, dict(self.headers), parse_qs(query) | parse_qs(sent)))
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
        ("login.html", 429, ServiceError, "429"),
        ("login.html", 500, ServiceError, "500: no reason given"),
        ("timeout.json", 503, ServiceError, "timed out"),
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
        with pytest.raises(ServiceError, match="cannot be reached"):
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
