"""Files as evidence of the champion: never a row from before its promotion."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from engine_examples import START, as_lists, expected, make_log, make_reference
from remint.adapters.engine import FileSource
from remint.core.profile import PREDICTION
from remint.core.registry import Champion
from remint.errors import ConfigError, NoDataError, Silence
from remint.workflows.champion import ChampionFiles
from remint.workflows.evidence import Evidence
from remint.workflows.evidence_files import FilesEvidence

DAY = timedelta(days=1)
REFERENCE = make_reference()
LOG = make_log(96, REFERENCE)  # four days of hours


@pytest.fixture
def evidence(tmp_path: Path) -> FilesEvidence:
    pq.write_table(LOG, tmp_path / "log.parquet")
    champion = Champion(tag="model#stable#1", number=1, version=None, commit="0" * 40, assigned_at=START + DAY)
    return FilesEvidence(
        source=FileSource(path="*.parquet", time="at", predicted="said", confidence="sure", label="truth"),
        files=ChampionFiles(
            champion=champion, bundle="", reference=REFERENCE, metadata={"until": {"sequence": 7}}, metrics={}
        ),
        directory=tmp_path,
        now=START + 4 * DAY,
    )


def test_rows_before_the_promotion_are_not_the_champions(evidence: FilesEvidence) -> None:
    source: Evidence = evidence
    found = source.counts(START, START + 3 * DAY)
    assert as_lists(found.counts) == expected(LOG.slice(24, 48), REFERENCE)
    assert source.feedback(START, START + 3 * DAY).predictions == 48
    with pytest.raises(NoDataError) as caught:
        source.counts(START - DAY, START + DAY)
    assert caught.value.silence is Silence.EMPTY


def test_fresh_labels_are_those_since_the_promotion(evidence: FilesEvidence) -> None:
    fresh = evidence.fresh()
    labels = LOG["truth"].to_pylist()[24:]
    assert (fresh.count, fresh.sequence) == (len(labels) - labels.count(None), 7)
    unlabelled = replace(evidence, source=replace(evidence.source, label=None))
    with pytest.raises(NoDataError) as caught:
        unlabelled.fresh()
    assert caught.value.silence is Silence.NO_SERIES


def test_files_answer_no_query(evidence: FilesEvidence) -> None:
    assert evidence.counts(START, START + 4 * DAY).counts[PREDICTION].sum() == 72
    with pytest.raises(ConfigError, match="cannot answer a query"):
        evidence.signal("up")
