"""`helm test`: one prediction through the Service must be a golden prediction of the bundle that answered.

Runs in the service's own image, which holds the bundles; needs the standard library only.
"""

import json
import math
import os
import sys
import urllib.request
from pathlib import Path

URL = os.environ["REMINT_URL"]
BUNDLES = Path(os.environ["REMINT_BUNDLES"])
HEADERS = {"content-type": "application/json", "x-remint-unit": "helm-test"}  # one client, however often it is run
TOLERANCE = 1e-6  # as when a bundle is loaded


def ask(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(URL + path, data, HEADERS), timeout=10) as answer:  # noqa: S310 - the address is the chart's own
        return json.load(answer)


def golden(bundle):
    return json.loads((BUNDLES / bundle.removeprefix("sha256:") / "golden_predictions.json").read_text())[0]


info = ask("/model/info")
if info["error"]:
    sys.exit(f"the service could not load what its state names: {info['error']}")
wanted = golden(info["stable"]["bundle"])
answer = ask("/predict", {"row": wanted["features"]})
if golden(answer["bundle"])["features"] != wanted["features"]:  # the canary answered, and has another golden set
    wanted = golden(answer["bundle"])
    answer = ask("/predict", {"row": wanted["features"]})
expected = golden(answer["bundle"])["probabilities"]
found = list(answer["predictions"][0]["probabilities"].values())
print(f"{answer['release']} {answer['track']} {answer['bundle']}: {found}, golden {expected}")
if not all(math.isclose(p, q, rel_tol=0, abs_tol=TOLERANCE) for p, q in zip(found, expected, strict=True)):
    sys.exit("the answer is not the golden prediction of the bundle")
