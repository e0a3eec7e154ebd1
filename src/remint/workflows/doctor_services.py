"""The doctor's looks at Prometheus and the store."""

from __future__ import annotations

from functools import partial
from typing import Final

from remint.adapters.feedback_store import open_store
from remint.config import Params, Source
from remint.core.checkup import Checkup
from remint.workflows.doctor_look import Look, Patient, not_asked, ok
from remint.workflows.sources import Sources

_NO_PARAMS: Final = "params.yaml cannot be read"


def service_looks(patient: Patient, params: Params | None) -> list[tuple[str, Look]]:
    if params is None:
        return [(name, partial(not_asked, name, _NO_PARAMS)) for name in ("prometheus", "store")]
    sources = Sources.of(params.check, directory=patient.directory, environ=patient.environ)
    return [
        ("prometheus", partial(_prometheus, sources, patient)),
        ("store", partial(_store, sources, params.pipeline)),
    ]


def _prometheus(sources: Sources, patient: Patient) -> Checkup:
    if sources.source is not Source.PROMETHEUS:
        return not_asked("prometheus", f"check.source is {sources.source.value}")
    client = sources.prometheus()
    client.query("vector(1)", patient.now)
    return ok("prometheus", f"{client.url} answers")


def _store(sources: Sources, pipeline: str) -> Checkup:
    if sources.store_url is None:
        return not_asked("store", "REMINT_STORE_URL is not set")
    with open_store(sources.store_url, pipeline=pipeline):
        return ok("store", "the feedback store opens, and is of this pipeline")
