"""Cuts GitHub's published GraphQL schema to what Remint asks: ``npm install @octokit/graphql-schema`` first.

python cut_graphql.py node_modules/@octokit/graphql-schema/schema.graphql > graphql.subset.graphql
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from graphql import parse, print_ast
from graphql.language import ast

FIELDS = {
    "Query": {"viewer"},
    "User": {"login"},
    "Mutation": {"enablePullRequestAutoMerge", "disablePullRequestAutoMerge"},
    "EnablePullRequestAutoMergePayload": {"pullRequest"},
    "DisablePullRequestAutoMergePayload": {"pullRequest"},
    "PullRequest": {"number"},
}
WHOLE = {
    "EnablePullRequestAutoMergeInput",
    "DisablePullRequestAutoMergeInput",
    "PullRequestMergeMethod",
    "GitObjectID",
}
SOURCE = "# @octokit/graphql-schema (MIT, Copyright (c) GitHub 2025), schema.graphql, cut by cut_graphql.py\n"


def cut(text: str) -> str:
    kept: list[ast.DefinitionNode] = []
    for node in parse(text, no_location=True).definitions:
        name = node.name.value if isinstance(node, ast.TypeDefinitionNode) else None
        if isinstance(node, ast.ObjectTypeDefinitionNode) and name in FIELDS:
            fields = tuple(bare(field) for field in node.fields or () if field.name.value in FIELDS[name])
            kept.append(replace(node, fields=fields, interfaces=(), directives=(), description=None))
        elif isinstance(node, ast.InputObjectTypeDefinitionNode) and name in WHOLE:
            kept.append(replace(node, fields=tuple(map(bare, node.fields or ())), description=None))
        elif isinstance(node, ast.EnumTypeDefinitionNode) and name in WHOLE:
            kept.append(replace(node, values=tuple(map(bare, node.values or ())), description=None))
        elif name in WHOLE:
            kept.append(bare(node))
    return SOURCE + "\n" + "\n\n".join(map(print_ast, kept)) + "\n"


def bare(node: Any) -> Any:
    return replace(node, description=None, directives=())


if __name__ == "__main__":
    sys.stdout.write(cut(Path(sys.argv[1]).read_text(encoding="utf-8")))
