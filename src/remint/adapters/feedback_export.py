"""Feedback from where the store cannot be opened: the service's authenticated export, or immutable Parquet segments.

A segment ``feedback-<from>-<to>-<sha256>.parquet`` holds the answers with ``from <= sequence <= to``; its name proves
its content, so it never changes and any mirror will do. ``index.json`` beside the segments lists them in order.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import requests

from remint.adapters.files import write_atomically
from remint.core.feedback import FeedbackRow
from remint.errors import ConfigError, DataError, ServiceError

INDEX: Final = "index.json"
_INDEX_SCHEMA: Final = "remint/segments/1.0"
_NAME = re.compile(r"feedback-(?P<first>\d{10,})-(?P<last>\d{10,})-(?P<sha256>[0-9a-f]{64})\.parquet")
_TIMEOUT_SECONDS: Final = (10.0, 120.0)  # to connect, between two reads
_TEXT_COLUMNS: Final = (
    *("arrived_at", "prediction_id", "answer", "label", "predicted", "bundle", "reference"),
    *("track", "release", "reporter", "row"),
)
_COLUMNS: Final = pa.schema(
    [
        pa.field("sequence", pa.int64()),
        pa.field("confidence", pa.float64()),
        *(pa.field(name, pa.large_string()) for name in _TEXT_COLUMNS),
    ]
)


# -- the service -----------------------------------------------------------------------------------------------------


def read_service(url: str, *, token: str | None, until: int) -> tuple[list[FeedbackRow], int]:
    """The answers up to ``until`` from ``GET <url>/feedback/export``, and the sequence up to which the service has any.

    Raises ConfigError for a refused token or an address that is no such service, ServiceError where it does not answer.
    """
    address = f"{url.rstrip('/')}/feedback/export"
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        with requests.get(
            address, params={"until": str(until)}, headers=headers, timeout=_TIMEOUT_SECONDS, stream=True
        ) as response:
            _check(response, address)
            reached = response.headers.get("x-remint-until", "")
            if not reached.isdigit():
                raise ConfigError("is not Remint's export", where=address)
            rows = [
                FeedbackRow.from_json(_object(line, f"{address}: line {number}"), where=f"{address}: line {number}")
                for number, line in enumerate(response.iter_lines(), start=1)
            ]
    except requests.RequestException as error:
        raise ServiceError(f"cannot be read: {_reason(error)}", where=address) from None
    return rows, int(reached)


def _check(response: requests.Response, address: str) -> None:
    if response.status_code in {401, 403}:
        raise ConfigError(f"answered {response.status_code}", where=address, hint="is REMINT_SERVICE_TOKEN right?")
    if response.status_code >= 500 or response.status_code == 429:
        raise ServiceError(f"answered {response.status_code}", where=address)
    if response.status_code != 200:
        raise ConfigError(f"answered {response.status_code}", where=address, hint="is this the right address?")


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return type(error).__name__


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise DataError("not a JSON object", where=where)
    return value


# -- segments --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One immutable file: the answers with ``first <= sequence <= last``, possibly fewer than that."""

    name: str
    first: int
    last: int
    sha256: str

    @classmethod
    def parse(cls, name: object, *, where: str) -> Segment:
        match = _NAME.fullmatch(str(name))
        if match is None:
            raise DataError(f"{name!r} is not a segment's name", where=where)
        return cls(name=match[0], first=int(match["first"]), last=int(match["last"]), sha256=match["sha256"])


def write_segment(directory: Path, rows: Sequence[FeedbackRow], *, first: int, last: int) -> Segment:
    """Write the answers ``first..last`` behind the segments that are there. Raises DataError where they do not follow.

    The file first, then the index: killed in between, the next run writes the same file again.
    """
    known = read_index(directory) if (directory / INDEX).exists() else []
    expected = known[-1].last + 1 if known else 1
    if first != expected or last < first or any(not first <= row.sequence <= last for row in rows):
        raise DataError(f"a segment from {first} to {last} does not follow", where=str(directory), hint=f"{expected}?")
    content = _encode(rows)
    digest = hashlib.sha256(content).hexdigest()
    segment = Segment(name=f"feedback-{first:010d}-{last:010d}-{digest}.parquet", first=first, last=last, sha256=digest)
    directory.mkdir(parents=True, exist_ok=True)
    draft = directory / f".{segment.name}.draft"
    draft.write_bytes(content)
    draft.replace(directory / segment.name)
    listed = {"schema": _INDEX_SCHEMA, "segments": [s.name for s in (*known, segment)]}
    write_atomically(directory / INDEX, json.dumps(listed, indent=2) + "\n")
    return segment


def read_index(place: str | Path) -> list[Segment]:
    """The segments in ``place`` (a directory or a URL), without a gap or an overlap; DataError otherwise."""
    where = _join(place, INDEX)
    listed = _object(_fetch(where), where)
    if not str(listed.get("schema")).startswith("remint/segments/1."):
        raise DataError(f"schema is {listed.get('schema')!r}, expected {_INDEX_SCHEMA}", where=where)
    segments = [Segment.parse(name, where=where) for name in listed.get("segments", [])]
    expected = 1
    for segment in segments:
        if segment.first != expected:
            raise DataError(f"{segment.name} should begin at {expected}: a gap or an overlap", where=where)
        expected = segment.last + 1
    return segments


def read_segments(place: str | Path, *, until: int) -> tuple[list[FeedbackRow], int]:
    """The answers up to ``until`` and the sequence up to which there are segments; each file's hash is checked."""
    segments = read_index(place)
    rows = [row for segment in segments if segment.first <= until for row in _read(place, segment)]
    return [row for row in rows if row.sequence <= until], segments[-1].last if segments else 0


def _read(place: str | Path, segment: Segment) -> Iterator[FeedbackRow]:
    where = _join(place, segment.name)
    content = _fetch(where)
    if hashlib.sha256(content).hexdigest() != segment.sha256:
        raise DataError("its SHA-256 is not the one in its name: corrupt or changed", where=where)
    for record in pq.read_table(io.BytesIO(content)).to_pylist():
        yield FeedbackRow.from_json({**record, "row": json.loads(record["row"])}, where=where)


def _encode(rows: Iterable[FeedbackRow]) -> bytes:
    records = [{**row.to_json(), "row": json.dumps(dict(row.row), ensure_ascii=True)} for row in rows]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records, schema=_COLUMNS), sink, compression="zstd")
    return sink.getvalue()


def _is_url(place: str | Path) -> bool:
    return urlsplit(str(place)).scheme in {"http", "https"}


def _join(place: str | Path, name: str) -> str:
    return f"{str(place).rstrip('/')}/{name}"


def _fetch(where: str) -> bytes:
    if not _is_url(where):
        try:
            return Path(where).read_bytes()
        except FileNotFoundError:
            raise DataError("no such file", where=where, hint="`remint feedback segment` writes it") from None
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", where=where) from None
    try:
        response = requests.get(where, timeout=_TIMEOUT_SECONDS)
    except requests.RequestException as error:
        raise ServiceError(f"cannot be read: {_reason(error)}", where=where) from None
    _check(response, where)
    return response.content
