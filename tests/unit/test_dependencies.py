"""What is declared is used, and the light parts stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: distribution -> the module it is imported as, where the two differ
_MODULES = {
    "prometheus-api-client": "prometheus_api_client",
    "prometheus-client": "prometheus_client",
    "markdown-it-py": "markdown_it",
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry",
    "opentelemetry-sdk": "opentelemetry",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
    "ruamel.yaml": "ruamel",
}
#: used without an import, with the reason
_BY_PRESENCE = {
    "httptools": "uvicorn picks it up where it is installed",
    "uvloop": "uvicorn picks it up where it is installed",
    "dvc": "run as `python -m dvc`: its Python API is not stable",
}


def _imported() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                found.add(node.module.split(".")[0])
    return found


def test_every_declared_dependency_is_used() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    names = {d.split(">")[0].split("<")[0].split("=")[0].strip() for d in declared}
    imported = _imported()
    unused = {n for n in names if _MODULES.get(n, n) not in imported and n not in _BY_PRESENCE}
    assert not unused, f"declared but not used: {sorted(unused)}"


def test_serving_loads_neither_dvc_nor_pandas() -> None:
    code = (
        "import sys, remint.serving.app, remint.cli.serve\n"
        "heavy = {'dvc', 'pandas', 'pyarrow', 'matplotlib', 'git'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {sorted(heavy)}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
