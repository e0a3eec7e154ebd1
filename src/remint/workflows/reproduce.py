"""Is the training reproducible? Fit once more from the same prepared rows, in a process of its own, and compare ids.

A bundle's id is the content id of its manifest, which holds the SHA-256 of each file: equal ids are equal bytes. The
process is another one, so that nothing that the first training left in memory, and no hash seed, is shared.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from remint.adapters.bundle import read_manifest
from remint.core.verdict import Absence, Finding, Verdict
from remint.errors import RemintError

RULE: Final = "reproducible"


def judge_reproducible(directory: Path, bundle: Path) -> Finding:
    """Train again what is prepared in ``directory`` and compare with ``bundle``. Takes as long as the training did."""
    first = read_manifest(bundle)
    with tempfile.TemporaryDirectory(prefix="remint-refit-") as scratch:
        # -P: a file of the user's that is called like a module of the library's must not stand in for it
        command = [sys.executable, "-P", "-m", "remint.workflows.reproduce", str(directory.resolve()), scratch]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "it said nothing")
            return Finding(
                rule=RULE,
                verdict=Absence.MISSING,
                reason=f"training again ended with code {done.returncode}: {said.strip()[:300]}",
            )
        again = read_manifest(Path(scratch) / "bundle")
    return compared(first, again)


def compared(first: Mapping[str, Any], again: Mapping[str, Any]) -> Finding:
    """What two manifests of the same training say."""
    if again["id"] == first["id"]:
        return Finding(
            rule=RULE,
            verdict=Verdict.PASS,
            reason="training again from the same rows, in another process, gave the same bundle",
            evidence={"again": again["id"]},
        )
    files = sorted(name for name, file in first["files"].items() if again["files"].get(name) != file)
    return Finding(
        rule=RULE,
        verdict=Verdict.FAIL,
        reason="training again from the same rows gave another bundle "
        f"({', '.join(files) or 'other libraries'}): does the estimator use the seed that it is given?",
        evidence={"again": again["id"], "files": files},
    )


def main(directory: Path, output: Path) -> int:
    """What the process of its own does."""
    from remint.config import load_params
    from remint.workflows.train import train

    try:
        train(load_params(directory / "params.yaml"), directory, output=output)
    except RemintError as error:
        print(f"remint: error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
