"""The few calls that GitHub has only in GraphQL: who we are to it, and auto-merge.

It answers 200 to a mutation that it refused and says why in ``errors``; here each of them ends as over REST. The
documents are checked in tests against GitHub's published schema, cut to what they use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from remint.adapters.forge.rest import MissingError, RefusedError, Rest
from remint.core.markdown import clean
from remint.errors import PermissionDeniedError, ServiceError

VIEWER: Final = "query { viewer { login } }"
ENABLE: Final = (
    "mutation($pull: ID!, $commit: GitObjectID!, $method: PullRequestMergeMethod!) { enablePullRequestAutoMerge("
    "input: {pullRequestId: $pull, expectedHeadOid: $commit, mergeMethod: $method}) { pullRequest { number } } }"
)
DISABLE: Final = (
    "mutation($pull: ID!) { disablePullRequestAutoMerge(input: {pullRequestId: $pull}) { pullRequest { number } } }"
)


def ask(rest: Rest, url: str, document: str, variables: Mapping[str, str] | None = None, *, needs: str) -> Any:
    """``data`` of the answer, when it has no ``errors``; otherwise the first of them, as the error that it means."""
    body = {"query": document, **({"variables": dict(variables)} if variables else {})}
    data, errors = rest.send("POST", url, body, _read, needs=needs)
    if not errors:
        return data
    kind, said = errors[0]
    match kind:
        case "FORBIDDEN" | "INSUFFICIENT_SCOPES":
            raise PermissionDeniedError(said, where="GraphQL", hint=f"the token needs {needs}")
        case "NOT_FOUND":
            raise MissingError(f"not found, or the token may not know of it: {said}", where="GraphQL")
        case "RATE_LIMITED":
            raise ServiceError("the token's requests of this hour are used up", where="GraphQL", hint="try again later")
        case _:
            raise RefusedError(f"the forge does not take it: {said}", where="GraphQL")


def _read(body: Any) -> tuple[Any, list[tuple[str, str]]]:
    errors = [(str(error.get("type", "")), clean(str(error["message"]))) for error in body.get("errors") or []]
    return (None if errors else body["data"]), errors
