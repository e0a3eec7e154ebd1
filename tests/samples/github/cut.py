"""Cuts GitHub's published API description to the operations that Remint uses: ``npm install @octokit/openapi`` first.

python cut.py node_modules/@octokit/openapi/generated/api.github.com.json > openapi.subset.json
"""

from __future__ import annotations

import json
import sys
from typing import Any

REPO = "/repos/{owner}/{repo}"
OPERATIONS = {
    REPO: ["get"],
    f"{REPO}/pulls": ["get", "post"],
    f"{REPO}/pulls/{{pull_number}}": ["get", "patch"],
    f"{REPO}/pulls/{{pull_number}}/reviews": ["get"],
    f"{REPO}/issues/{{issue_number}}/comments": ["get", "post"],
    f"{REPO}/issues/comments/{{comment_id}}": ["get", "patch"],
    f"{REPO}/commits/{{ref}}/statuses": ["get"],
    f"{REPO}/statuses/{{sha}}": ["post"],
    f"{REPO}/actions/workflows/{{workflow_id}}/dispatches": ["post"],
    f"{REPO}/actions/workflows/{{workflow_id}}/runs": ["get"],
    f"{REPO}/actions/workflows/{{workflow_id}}": ["get"],
    f"{REPO}/actions/permissions/workflow": ["get"],
    f"{REPO}/environments": ["get"],
    f"{REPO}/branches/{{branch}}": ["get"],
    f"{REPO}/branches/{{branch}}/protection": ["get"],
    f"{REPO}/rules/branches/{{branch}}": ["get"],
    f"{REPO}/collaborators/{{username}}/permission": ["get"],
}
PROSE = {"description", "examples", "example", "summary", "title", "externalDocs", "tags", "x-octokit", "x-github"}


def bare(value: Any) -> Any:
    """Without prose. A property may be called like a word of the description: then its value is a schema."""
    if isinstance(value, dict):
        return {
            key: bare(inner)
            for key, inner in value.items()
            if key not in PROSE or (isinstance(inner, dict) and {"type", "$ref", "anyOf"} & inner.keys())
        }
    return [bare(inner) for inner in value] if isinstance(value, list) else value


def cut(whole: dict[str, Any]) -> dict[str, Any]:
    components: dict[str, dict[str, Any]] = {}

    def follow(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                _, _, kind, name = value["$ref"].split("/")
                if name not in components.setdefault(kind, {}):
                    components[kind][name] = bare(whole["components"][kind][name])
                    follow(components[kind][name])
            for inner in value.values():
                follow(inner)
        elif isinstance(value, list):
            for inner in value:
                follow(inner)

    paths = {path: {m: bare(whole["paths"][path][m]) for m in methods} for path, methods in OPERATIONS.items()}
    follow(paths)
    info = {"title": whole["info"]["title"], "version": whole["info"]["version"], "license": whole["info"]["license"]}
    source = "@octokit/openapi (MIT, Copyright (c) 2020 Octokit contributors), api.github.com.json, cut by cut.py"
    return {"openapi": whole["openapi"], "info": {**info, "x-source": source}, "paths": paths, "components": components}


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:  # noqa: PTH123
        json.dump(cut(json.load(file)), sys.stdout, sort_keys=True, separators=(",", ":"))
        print()
