"""GitHub on a loopback port, played from its published API description, with a state of its own.

Each request is checked against the description before it is answered, and each answer before it is sent: what passes
here is what GitHub documents. The descriptions are openapi.subset.json and, of the three questions that only GraphQL
takes, graphql.subset.graphql in tests/samples/github.
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
from graphql import GraphQLError, GraphQLSchema, build_schema, graphql_sync

SAMPLES = Path(__file__).parent / "samples" / "github"
DESCRIPTION = SAMPLES / "openapi.subset.json"
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


@cache
def graphql_schema() -> GraphQLSchema:
    return build_schema((SAMPLES / "graphql.subset.graphql").read_text())


class RefusalError(GraphQLError):
    """GraphQL answers 200 and says no in the body."""

    def __init__(self, message: str, kind: str = "UNPROCESSABLE") -> None:
        super().__init__(message)
        self.kind = kind


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
    rules: list[dict[str, Any]] = field(default_factory=list)
    environments: list[dict[str, Any]] = field(default_factory=list)
    administrator: bool = True  # the token is one's: it sees what a branch's protection asks of reviews
    allow_auto_merge: bool = True
    may_create_pulls: bool = True
    token_writes: bool = False
    workflow_state: str = "active"
    seen: list[tuple[str, str]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    refuse: Callable[[str, str], Answer | None] = lambda method, path: None
    lose: set[int] = field(default_factory=set)
    user: str = ME
    page_size: int = 100

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path in self.seen if method != "GET" and path != "/graphql viewer"]

    def answer(self, method: str, target: str, body: Any) -> Answer:
        parts = urlsplit(target)
        asked = re.search(r"\{ *(\w+)", body["query"]) if parts.path == "/graphql" else None
        path = parts.path if asked is None else f"/graphql {asked[1]}"
        self.seen.append((method, unquote(path)))
        refused = self.refuse(method, path)
        if refused is not None:
            return refused
        if asked is not None:
            return self._graphql(body)
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

    # -- GraphQL -----------------------------------------------------------------------------------------------------

    def _graphql(self, body: dict[str, Any]) -> Answer:
        root = {
            "viewer": {"login": self.user},
            "enablePullRequestAutoMerge": self._enable,
            "disablePullRequestAutoMerge": self._disable,
        }
        done = graphql_sync(graphql_schema(), body["query"], root, variable_values=body.get("variables"))
        if not done.errors:
            return Answer(200, {"data": done.data})
        refused = done.errors[0].original_error
        assert isinstance(refused, RefusalError), done.errors
        return Answer(200, {"data": None, "errors": [{"type": refused.kind, "message": refused.message}]})

    def _enable(self, info: Any, input: dict[str, Any]) -> dict[str, Any]:  # noqa: A002 - GraphQL's word
        pull = self._node(input)
        if not self.allow_auto_merge:
            raise RefusalError("Auto merge is not allowed for this repository")
        if input["expectedHeadOid"] != self.commit_of(pull["head"]):
            raise RefusalError("Head sha didn't match expected OID")
        if self._ready(pull):
            raise RefusalError("Pull request Pull request is in clean status")
        pull["auto_merge"] = input["mergeMethod"].lower()
        return {"pullRequest": {"number": pull["number"]}}

    def _disable(self, info: Any, input: dict[str, Any]) -> dict[str, Any]:  # noqa: A002 - GraphQL's word
        pull = self._node(input)
        if pull.get("auto_merge") is None:
            raise RefusalError("Can't disable auto-merge for this pull request")
        pull["auto_merge"] = None
        return {"pullRequest": {"number": pull["number"]}}

    def _node(self, given: dict[str, Any]) -> dict[str, Any]:
        number = int(given["pullRequestId"].removeprefix("PR_"))
        if number not in self.pulls:
            raise RefusalError(
                f"Could not resolve to a node with the global id of '{given['pullRequestId']}'", "NOT_FOUND"
            )
        return self.pulls[number]

    def _ready(self, pull: dict[str, Any]) -> bool:
        """Whether all that the base asks for is there, approvals included."""
        protection = self.protection or {}
        required = set((protection.get("required_status_checks") or {}).get("contexts", []))
        for rule in self.rules:
            checks = rule.get("parameters", {}).get("required_status_checks", [])
            required |= {check["context"] for check in checks}
        reviews = protection.get("required_pull_request_reviews") or {}
        commit = self.commit_of(pull["head"])
        green = {s["context"]: s["state"] == "success" for s in self.statuses if s["sha"] == commit}
        approved = [r for r in self.reviews.get(pull["number"], []) if r["state"] == "APPROVED"]
        enough = len(approved) >= reviews.get("required_approving_review_count", 0)
        return enough and all(green.get(context, False) for context in required)

    def settle(self) -> None:
        """What GitHub does by itself: merge what waits for its checks and has them."""
        for pull in self.pulls.values():
            if pull["state"] == "open" and pull.get("auto_merge") and self._ready(pull):
                pull |= {"state": "closed", "merged_at": AT, "auto_merge": None}

    # -- the operations ----------------------------------------------------------------------------------------------

    def _filled(self, name: str, /, **facts: Any) -> dict[str, Any]:
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
        known["node_id"] = f"PR_{pull['number']}"
        method = pull.get("auto_merge")
        known["auto_merge"] = method and {
            "enabled_by": self._user(self.user),
            "merge_method": method,
            "commit_title": "",
            "commit_message": "",
        }
        url = f"{self.url}/{self.name}/pull/{pull['number']}"
        return {**empty, **known, "head": head, "base": base, "user": self._user(pull["author"]), "html_url": url}

    def _comment(self, comment: dict[str, Any]) -> dict[str, Any]:
        page = "issues" if comment["number"] not in self.pulls else "pull"
        url = f"{self.url}/{self.name}/{page}/{comment['number']}#issuecomment-{comment['id']}"
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
        facts: dict[str, Any] = {
            "full_name": self.name,
            "default_branch": "main",
            "html_url": f"{self.url}/{self.name}",
        }
        facts["allow_auto_merge"] = self.allow_auto_merge
        return Answer(200, self._filled("full-repository", **facts))

    def pulls_list(self, arguments: dict[str, str], query: dict[str, str], body: Any) -> Answer:
        owner = self.name.split("/")[0]
        self.settle()
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

    def pulls_get(self, arguments: dict[str, str], query: dict[str, str], body: Any) -> Answer:
        self.settle()
        pull = self.pulls.get(int(arguments["pull_number"]))
        return Answer(404, {"message": "Not Found"}) if pull is None else Answer(200, self._pull(pull))

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

    def issues_get_comment(self, arguments: dict[str, str], query: dict[str, str], body: Any) -> Answer:
        comment = self.comments.get(int(arguments["comment_id"]))
        return Answer(404, {"message": "Not Found"}) if comment is None else Answer(200, self._comment(comment))

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
        name = arguments["workflow_id"]
        mine = [
            {k: v for k, v in run.items() if k != "workflow"} for run in self.runs if run.get("workflow", name) == name
        ]
        items = [self._filled("workflow-run", **{"created_at": AT, **run}) for run in reversed(mine)]
        path = f"/repos/{self.name}/actions/workflows/{arguments['workflow_id']}/runs"
        return self._page(items, path, query, wrap="workflow_runs")

    def actions_get_workflow(self, arguments: dict[str, str], query: dict[str, str], body: Any) -> Answer:
        return Answer(200, self._filled("workflow", state=self.workflow_state))

    def actions_get_github_actions_default_workflow_permissions_repository(
        self, arguments: dict[str, str], query: dict[str, str], body: Any
    ) -> Answer:
        if not self.administrator:
            return Answer(403, {"message": "Resource not accessible by integration"})
        level = "write" if self.token_writes else "read"
        allowed = self.may_create_pulls
        return Answer(200, {"default_workflow_permissions": level, "can_approve_pull_request_reviews": allowed})

    def repos_get_all_environments(self, arguments: dict[str, str], query: dict[str, str], body: Any) -> Answer:
        items = [self._filled("environment", **{"protection_rules": [], **e}) for e in self.environments]
        return self._page(items, f"/repos/{self.name}/environments", query, wrap="environments")

    def repos_get_branch(self, arguments: dict[str, str], query: dict[str, str], body: Any) -> Answer:
        if self.commit_of(arguments["branch"]) is None and arguments["branch"] != "main":
            return Answer(404, {"message": "Branch not found"})
        contexts = ((self.protection or {}).get("required_status_checks") or {}).get("contexts", [])
        checks = {"enforcement_level": "everyone" if contexts else "off", "contexts": contexts, "checks": []}
        protection = {"enabled": self.protection is not None, "required_status_checks": checks}
        facts = {"protected": self.protection is not None or bool(self.rules), "protection": protection}
        return Answer(200, self._filled("branch-with-protection", name=arguments["branch"], **facts))

    def repos_get_branch_rules(self, arguments: dict[str, str], query: dict[str, str], body: Any) -> Answer:
        return self._page(self.rules, f"/repos/{self.name}/rules/branches/{arguments['branch']}", query)

    def repos_get_branch_protection(self, arguments: dict[str, str], query: dict[str, str], body: Any) -> Answer:
        if not self.administrator:
            return Answer(403, {"message": "Resource not accessible by integration"})
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
                github.complaints.append(f"{type(error).__name__}: {str(error).partition(chr(10) * 2)[0]}")
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
