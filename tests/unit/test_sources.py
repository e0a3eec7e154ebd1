"""Claims about where a check looks: options win over the environment, and what is empty is not set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from params_examples import only_age
from remint.config import Check
from remint.workflows.sources import Sources


def sources(environ: Mapping[str, str]) -> Sources:
    check = Check.model_validate({"source": "log", **only_age()})
    return Sources.of(check, directory=Path(), environ=environ)


@pytest.mark.parametrize("environ", [{}, {"REMINT_STORE_URL": "", "REMINT_PROMETHEUS_URL": ""}])
def test_a_variable_that_a_workflow_hands_on_empty_is_not_set(environ: Mapping[str, str]) -> None:
    found = sources(environ)
    assert found.store_url is None
    assert found.prometheus_url == found.check.prometheus.url
