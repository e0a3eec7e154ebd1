"""GitHub on a loopback port, played from its published API description, with a state of its own.

Each request is checked against the description before it is answered, and each answer before it is sent: what passes
here is what GitHub documents. The description is tests/samples/github/openapi.subset.json.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import jsonschema

DESCRIPTION = Path(__file__).parent / "samples" / "github" / "openapi.subset.json"
ME = "github-actions[bot]"
TOKEN = "token-of-a-test"
AT = "2026-11-21T12:00:00Z"


@cache
def description() -> dict[str, Any]:
    """With ``nullable`` of OpenAPI 3.0 said in JSON Schema's way."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            inner = {key: plain(item) for key, item in value.items() if key != "nullable"}
            return {"anyOf": [inner, {"type": "null"}]} if value.get("nullable") is True else inner
        return [plain(item) for item in value] if isinstance(value, list) else value

    document: dict[str, Any] = plain(json.loads(DESCRIPTION.read_text()))
    return document


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        found: Any = description()
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def example(schema: dict[str, Any]) -> Any:
    """The smallest value that a schema takes."""
    schema = resolved(schema)
    if "enum" in schema:
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return None if {"type": "null"} in schema[choice] else example(schema[choice][0])
    if "allOf" in schema:
        return {key: value for part in schema["allOf"] for key, value in example(part).items()}
    kind = schema.get("type", "object")
    if kind == "object":
        return {key: example(schema.get("properties", {}).get(key, {})) for key in schema.get("required", [])}
    if kind == "string":
        return {"uri": "https://forge.invalid/", "date-time": AT}.get(schema.get("format", ""), "")
    return {"array": [], "integer": 0, "number": 0, "boolean": False, "null": None}[kind]


def check(value: Any, schema: dict[str, Any]) -> None:
    whole = {**schema, "components": description()["components"]}
    jsonschema.Draft202012Validator(whole).validate(value)


@dataclass
class Answer:
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class GitHub:
    """The state of one repository. ``refuse`` may answer first; ``lose`` writes are done and never answered."""

    name: str = "acme/churn"
    url: str = ""
    commit_of: Callable[[str], str | None] = lambda branch: None
    pulls: dict[int, dict[str, Any]] = field(default_factory=dict)
    comments: dict[int, dict[str, Any]] = field(default_factory=dict)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    reviews: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    dispatches: list[dict[str, Any]] = field(default_factory=list)
    permissions: dict[str, str] = field(default_factory=dict)
    protection: dict[str, Any] | None = None
    seen: list[tuple[str, str]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    refuse: Callable[[str, str], Answer | None] = lambda method, path: None
    lose: set[int] = field(default_factory=set)
    user: str = ME
    page_size: int = 100

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path in self.seen if method != "GET" and path != "/graphql"]

    def answer(self, method: str, target: str, body: Any) -> Answer:
        parts = urlsplit(target)
        self.seen.append((method, unquote(parts.path)))
        refused = self.refuse(method, parts.path)
        if refused is not None:
            return refused
        if parts.path == "/graphql":
            return Answer(200, {"data": {"viewer": {"login": self.user}}})
        operation, arguments = self._operation(method, parts.path)
        query = {key: values[0] for key, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()}
        self._check_request(operation, query, body)
        if f"{arguments['owner']}/{arguments['repo']}" != self.name:
            return Answer(404, {"message": "Not Found"})
        answer: Answer = getattr(self, operation["operationId"].replace("/", "_").replace("-", "_"))(
            arguments, query, body
        )
        self._check_answer(operation, answer)
        return answer

    # -- the description ---------------------------------------------------------------------------------------------

    def _operation(self, method: str, path: str) -> tuple[dict[str, Any], dict[str, str]]:
        for template, operations in description()["paths"].items():
            pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(template))
            match = re.fullmatch(pattern, path)
            if match and method.lower() in operations:
                return operations[method.lower()], {key: unquote(value) for key, value in match.groupdict().items()}
        raise AssertionError(f"GitHub describes no {method} {path}")

    def _check_request(self, operation: dict[str, Any], query: dict[str, str], body: Any) -> None:
        declared = {p["name"]: p for p in map(resolved, operation.get("parameters", [])) if p["in"] == "query"}
        for key, value in query.items():
            assert key in declared, f"{operation['operationId']} takes no {key!r}"
            schema = declared[key]["schema"]
            check(int(value) if schema.get("type") == "integer" else value, schema)
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        assert (content is None) == (body is None), f"{operation['operationId']}: body {body!r}"
        if content is not None:
            check(body, content["schema"])
            unknown = set(body) - set(resolved(content["schema"])["properties"])
            assert not unknown, f"{operation['operationId']} takes no {unknown}"

    def _check_answer(self, operation: dict[str, Any], answer: Answer) -> None:
        if answer.status < 300:
            content = resolved(operation["responses"][str(answer.status)]).get("content")
            assert (content is None) == (answer.body is None)
            if content is not None:
                check(answer.body, content["application/json"]["schema"])

    # -- the operations ----------------------------------------------------------------------------------------------

    def _filled(self, name: str, **facts: Any) -> dict[str, Any]:
        return {**example({"$ref": f"#/components/schemas/{name}"}), **facts}

    def _user(self, login: str) -> dict[str, Any]:
        return self._filled("simple-user", login=login)

    def _pull(self, pull: dict[str, Any], *, whole: bool = True) -> dict[str, Any]:
        name = "pull-request" if whole else "pull-request-simple"
        empty = self._filled(name)
        head, base = dict(empty["head"]), dict(empty["base"])
        repo = example(resolved({"$ref": "#/components/schemas/repository"}))
        commit = self.commit_of(pull["head"]) if pull["state"] == "open" else None
        if commit:
            pull["commit"] = commit
        head |= {"ref": pull["head"], "sha": pull["commit"], "repo": {**repo, "id": pull.get("fork", 1)}}
        base |= {"ref": pull["base"], "repo": {**repo, "id": 1}}
        known = {key: pull[key] for key in ("number", "title", "body", "state", "merged_at")}
        url = f"{self.url}/{self.name}/pull/{pull['number']}"
        return {**empty, **known, "head": head, "base": base, "user": self._user(pull["author"]), "html_url": url}

    def _comment(self, comment: dict[str, Any]) -> dict[str, Any]:
        url = f"{self.url}/comment/{comment['id']}"
        user = self._user(comment["author"])
        return self._filled("issue-comment", id=comment["id"], body=comment["body"], user=user, html_url=url)

    def _page(self, items: list[Any], path: str, query: dict[str, str], wrap: str | None = None) -> Answer:
        size, number = min(int(query.get("per_page", "30")), self.page_size), int(query.get("page", "1"))
        part = items[(number - 1) * size : number * size]
        more = len(items) > number * size
        others = "".join(f"&{key}={value}" for key, value in query.items() if key != "page")
        link = {"Link": f'<{self.url}{path}?page={number + 1}{others}>; rel="next"'} if more else {}
        return Answer(200, part if wrap is None else {wrap: part, "total_count": len(items)}, link)

    def repos_get(self, arguments: dict[str, str], query: dict[str, str], body: Any) -> Answer:
        facts = {"full_name": self.name, "default_branch": "main", "html_url": f"{self.url}/{self.name}"}
        return Answer(200, self._filled("full-repository", **facts))

    def pulls_list(self, arguments: dict[str, str], query: dict[str, str], body: Any) -> Answer:
        owner = self.name.split("/")[0]
        found = [p for p in self.pulls.values() if query["state"] in {"all", p["state"]}]
        found = [p for p in found if query.get("head") in {None, f"{owner}:{p['head']}"}]
        items = [self._pull(p, whole=False) for p in sorted(found, key=lambda p: -p["number"])]
        return self._page(items, f"/repos/{self.name}/pulls", query)

    def pulls_create(self, arguments: dict[str, str], query: dict[str, str], body: Any) -> Answer:
        commit = self.commit_of(body["head"])
        if commit is None:
            error = {"resource": "PullRequest", "field": "head", "code": "invalid"}
            return Answer(422, {"message": "Validation Failed", "errors": [error]})
        if any(p["head"] == body["head"] and p["state"] == "open" for p in self.pulls.values()):
            text = f"A pull request already exists for acme:{body['head']}."
            error = {"resource": "PullRequest", "code": "custom", "message": text}
            return Answer(422, {"message": "Validation Failed", "errors": [error]})
        if len(body["body"]) > 65_536:
            return Answer(
                422, {"message": "Validation Failed", "errors": ["Body is too long (maximum is 65536 characters)"]}
            )
        number = len(self.pulls) + 1
        known = {"number": number, "state": "open", "merged_at": None, "author": self.user, "commit": commit}
        self.pulls[number] = {**body, **known}
        return Answer(201, self._pull(self.pulls[number]))

    def pulls_update(self, arguments: dict[str, str], query: dict[str, str], body: Any) -> Answer:
        pull = self.pulls.get(int(arguments["pull_number"]))
        if pull is None:
            return Answer(404, {"message": "Not Found"})
        pull |= body
        return Answer(200, self._pull(pull))

    def pulls_list_reviews(self, arguments: dict[str, str], query: dict[str, str], body: Any) -> Answer:
        number = int(arguments["pull_number"])
        items = [
            self._filled("pull-request-review", **{**r, "user": self._user(r["user"])})
            for r in self.reviews.get(number, [])
        ]
        return self._page(items, f"/repos/{self.name}/pulls/{number}/reviews", query)

    def issues_list_comments(self, arguments: dict[str, str], query: dict[str, str], body: Any) -> Answer:
        number = int(arguments["issue_number"])
        items = [self._comment(c) for c in self.comments.values() if c["number"] == number]
        return self._page(items, f"/repos/{self.name}/issues/{number}/comments", query)

    def issues_create_comment(self, arguments: dict[str, str], query: dict[str, str], body: Any) -> Answer:
        comment = {"id": len(self.comments) + 1, "number": int(arguments["issue_number"]), "author": self.user, **body}
        self.comments[comment["id"]] = comment
        return Answer(201, self._comment(comment), {"Location": f"{self.url}/comment"})

    def issues_update_comment(self, arguments: dict[str, str], query: dict[str, str], body: Any) -> Answer:
        comment = self.comments[int(arguments["comment_id"])]
        comment |= body
        return Answer(200, self._comment(comment))

    def repos_list_commit_statuses_for_ref(self, arguments: dict[str, str], query: dict[str, str], body: Any) -> Answer:
        items = [self._filled("status", **s) for s in reversed(self.statuses) if s["sha"] == arguments["ref"]]
        items = [{key: value for key, value in item.items() if key != "sha"} for item in items]
        return self._page(items, f"/repos/{self.name}/commits/{arguments['ref']}/statuses", query)

    def repos_create_commit_status(self, arguments: dict[str, str], query: dict[str, str], body: Any) -> Answer:
        if len(body.get("description") or "") > 140:
            return Answer(422, {"message": "Validation Failed", "errors": ["description is too long"]})
        self.statuses.append({"target_url": None, **body, "sha": arguments["sha"]})
        return Answer(201, {k: v for k, v in self._filled("status", **self.statuses[-1]).items() if k != "sha"})

    def actions_create_workflow_dispatch(self, arguments: dict[str, str], query: dict[str, str], body: Any) -> Answer:
        if sum(len(value) for value in body["inputs"].values()) > 65_535:
            return Answer(422, {"message": "inputs are too large."})
        self.dispatches.append({"workflow": arguments["workflow_id"], **body})
        number, url = len(self.runs) + 1, f"{self.url}/{self.name}/actions/runs/{len(self.runs) + 1}"
        title = f"retrain {body['inputs'].get('directory')} {body['inputs'].get('run')}"
        self.runs.append(
            {"id": number, "display_title": title, "status": "queued", "conclusion": None, "html_url": url}
        )
        if not body.get("return_run_details"):
            return Answer(204)
        return Answer(200, {"workflow_run_id": number, "run_url": url, "html_url": url})

    def actions_list_workflow_runs(self, arguments: dict[str, str], query: dict[str, str], body: Any) -> Answer:
        items = [self._filled("workflow-run", **{**run, "created_at": AT}) for run in reversed(self.runs)]
        path = f"/repos/{self.name}/actions/workflows/{arguments['workflow_id']}/runs"
        return self._page(items, path, query, wrap="workflow_runs")

    def repos_get_branch_protection(self, arguments: dict[str, str], query: dict[str, str], body: Any) -> Answer:
        if self.protection is None:
            return Answer(404, {"message": "Branch not protected"})
        return Answer(200, self._filled("branch-protection", **self.protection))

    def repos_get_collaborator_permission_level(
        self, arguments: dict[str, str], query: dict[str, str], body: Any
    ) -> Answer:
        level = self.permissions.get(arguments["username"])
        if level is None:
            return Answer(404, {"message": "Not Found"})
        return Answer(200, {"permission": level, "role_name": level, "user": None})


@contextmanager
def serve(github: GitHub) -> Iterator[GitHub]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            count = len(github.writes)
            try:
                assert self.headers["Authorization"] == f"Bearer {TOKEN}"
                answer = github.answer(self.command, self.path, body)
            except Exception as error:  # noqa: BLE001 - shown by the fixture: a thread's exception is nobody's
                github.complaints.append(f"{type(error).__name__}: {error}")
                answer = Answer(500, {"message": "the test's server complains"})
            if len(github.writes) > count and count in github.lose:
                github.lose.discard(count)
                self.close_connection = True
                self.connection.close()
                return
            data = b"" if answer.body is None else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for key, value in {**answer.headers, "Content-Length": str(len(data))}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = _do  # noqa: N815 - http.server calls them so

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    github.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield github
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert not github.complaints, github.complaints
