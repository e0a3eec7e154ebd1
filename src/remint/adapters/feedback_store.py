"""The prediction log and the feedback store: SQLite, append-only, one writer.

Every table refuses UPDATE and DELETE by a trigger. What is acknowledged is on disk: WAL with ``synchronous=FULL``. Raw
unit ids, subjects and reporters are never stored, only their keyed hashes (``pseudonym``). The tables are a published
contract: ``docs/serving.md``.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from remint.adapters.feedback_tables import prepare
from remint.core.document import format_time, parse_time
from remint.core.feedback import Answer, FeedbackRow
from remint.core.release import Track
from remint.errors import ConfigError, DataError, ServiceError

PREDICTION_KEY_VARIABLE: Final = "REMINT_PREDICTION_KEY"

_PAGE: Final = 1_000  # rows a query; the tables only grow, so pages fit together without one long read transaction
_TAG_HEX: Final = 16

_FEEDBACK: Final = """
SELECT f.sequence, f.arrived_at, f.prediction_id, f.answer, f.label, f.reporter,
       p.predicted, p.confidence, p.bundle, p.reference, p.track, p.release, p.row
FROM feedback f JOIN predictions p ON p.prediction_id = f.prediction_id
WHERE f.sequence > :after AND f.sequence <= :until AND NOT EXISTS (
  SELECT 1 FROM feedback newer WHERE newer.prediction_id = f.prediction_id AND newer.reporter = f.reporter
  AND newer.sequence > f.sequence AND newer.sequence <= :until)
ORDER BY f.sequence LIMIT :page
"""

_LABELS: Final = """
SELECT f.answer, p.made_at, (
  SELECT min(first.arrived_at) FROM feedback first
  WHERE first.prediction_id = f.prediction_id AND first.reporter = f.reporter AND first.answer != :unknown) AS first_at
FROM feedback f JOIN predictions p ON p.prediction_id = f.prediction_id
WHERE f.arrived_at >= :start AND f.arrived_at < :end AND p.reference = :reference AND p.track = :track
  AND f.answer != :unknown AND NOT EXISTS (
  SELECT 1 FROM feedback newer WHERE newer.prediction_id = f.prediction_id AND newer.reporter = f.reporter
  AND newer.sequence > f.sequence)
"""


class StorageFullError(ServiceError):
    """The store's disk takes no more. Nothing of the failed transaction was kept; with space it works again."""

    code = "storage-full"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPrediction:
    """One row of the prediction log."""

    prediction_id: str
    made_at: datetime
    bundle: str
    reference: str
    release: str
    track: Track
    unit: str | None  # pseudonym; None where no coin was flipped for the request
    counts: bool  # whether it is of its unit's first request in the release
    subject: str | None  # pseudonym
    row: Mapping[str, Any]
    predicted: str
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of one answer."""

    sequence: int
    arrived_at: datetime
    stored: bool  # False: the same answer of the same reporter was already there
    first: bool  # the reporter's first answer about this prediction


class Transaction:
    """Writes that become durable together; made by ``FeedbackStore.transaction``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add_predictions(self, rows: Sequence[StoredPrediction]) -> None:
        self._connection.executemany(
            "INSERT INTO predictions (prediction_id, made_at, bundle, reference, release, track, unit, counts, subject,"
            " row, predicted, confidence) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    r.prediction_id,
                    format_time(r.made_at),
                    r.bundle,
                    r.reference,
                    r.release,
                    r.track.value,
                    r.unit,
                    int(r.counts),
                    r.subject,
                    json.dumps(r.row, allow_nan=False),
                    r.predicted,
                    r.confidence,
                )
                for r in rows
            ],
        )

    def add_unit(self, *, release: str, unit: str, step: int, track: Track, at: datetime) -> bool:
        """True for the first request of a unit in a release: only that one counts."""
        cursor = self._connection.execute(
            "INSERT OR IGNORE INTO units VALUES (?, ?, ?, ?, ?)", (release, unit, step, track.value, format_time(at))
        )
        return cursor.rowcount == 1

    def add_outcome(self, *, release: str, unit: str, signal: str, bucket: str) -> bool:
        """True where the unit had no outcome of this signal yet."""
        cursor = self._connection.execute(
            "INSERT OR IGNORE INTO outcomes VALUES (?, ?, ?, ?)", (release, unit, signal, bucket)
        )
        return cursor.rowcount == 1

    def unit(self, release: str, unit: str) -> tuple[int, Track] | None:
        """The step and the track of a unit's first request."""
        found = self._connection.execute(
            "SELECT step, track FROM units WHERE release = ? AND unit = ?", (release, unit)
        ).fetchone()
        return None if found is None else (found[0], Track(found[1]))

    def add_feedback(
        self, *, prediction_id: str, answer: Answer, label: str | None, reporter: str | None, at: datetime
    ) -> Receipt:
        """Append an answer about a prediction that exists; the newest answer of a reporter counts.

        The same answer again (a redelivery) adds nothing. ``reporter`` is a pseudonym; all anonymous answers about one
        prediction are one reporter's.
        """
        name = reporter or ""
        last = self._connection.execute(
            "SELECT sequence, arrived_at, answer, label FROM feedback WHERE prediction_id = ? AND reporter = ?"
            " ORDER BY sequence DESC LIMIT 1",
            (prediction_id, name),
        ).fetchone()
        if last is not None and (last[2], last[3]) == (answer.value, label):
            return Receipt(sequence=last[0], arrived_at=parse_time(last[1]), stored=False, first=False)
        cursor = self._connection.execute(
            "INSERT INTO feedback (arrived_at, prediction_id, answer, label, reporter) VALUES (?, ?, ?, ?, ?)",
            (format_time(at), prediction_id, answer.value, label, name),
        )
        assert cursor.lastrowid is not None
        return Receipt(sequence=cursor.lastrowid, arrived_at=at, stored=True, first=last is None)


class FeedbackStore:
    """One pipeline's predictions and feedback. Made by ``open_store``; may be used from several threads."""

    def __init__(self, connection: sqlite3.Connection, path: Path, *, pipeline: str, key: bytes) -> None:
        self._connection = connection
        self._connection.row_factory = sqlite3.Row
        self._lock = threading.RLock()
        self._key = key
        self.path = path
        self.pipeline = pipeline

    def __enter__(self) -> FeedbackStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    # --- ids and pseudonyms

    def new_prediction_id(self) -> str:
        """Unguessable, and recognisable as ours without a query."""
        body = secrets.token_hex(12)
        return f"p_{body}{self._tag(body)}"

    def is_ours(self, prediction_id: str) -> bool:
        """Whether the id was issued with this key; says nothing of whether its row exists."""
        body, tag = prediction_id[2:-_TAG_HEX], prediction_id[-_TAG_HEX:]
        return prediction_id.startswith("p_") and hmac.compare_digest(tag.encode(), self._tag(body).encode())

    def pseudonym(self, value: str | None) -> str | None:
        """The keyed hash under which a unit, subject or reporter is stored; None stays None."""
        if value is None:
            return None
        return hmac.new(self._key, b"who\x1f" + value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]

    def _tag(self, body: str) -> str:
        return hmac.new(self._key, b"prediction\x1f" + body.encode(), hashlib.sha256).hexdigest()[:_TAG_HEX]

    # --- writing

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Durable when the block has ended; nothing of it is kept where it raises. StorageFullError on a full disk."""
        with self._lock, _storage(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield Transaction(self._connection)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def register_bundle(self, bundle: str, *, reference: str, classes: Sequence[str], at: datetime) -> None:
        """Remember a bundle's classes: feedback on its predictions may come long after it was replaced."""
        with self.transaction():
            self._connection.execute(
                "INSERT OR IGNORE INTO bundles VALUES (?, ?, ?, ?)",
                (bundle, reference, json.dumps(list(classes), ensure_ascii=False), format_time(at)),
            )

    def free_bytes(self) -> int:
        """Free space on the store's disk."""
        usage = os.statvfs(self.path.parent)
        return usage.f_bavail * usage.f_frsize

    # --- reading

    def prediction(self, prediction_id: str) -> StoredPrediction | None:
        return next(self._predictions("prediction_id = :id", {"id": prediction_id}), None)

    def all_predictions(self) -> Iterator[StoredPrediction]:
        """The whole prediction log in the order in which it was made."""
        return self._predictions("1", {})

    def predictions_of_subject(self, subject: str) -> Iterator[StoredPrediction]:
        """A raw subject's predictions in the order they were made."""
        return self._predictions("subject = :subject", {"subject": self.pseudonym(subject)})

    def predictions(
        self, start: datetime, end: datetime, *, reference: str, track: Track
    ) -> Iterator[tuple[Mapping[str, Any], str, float]]:
        """Row, predicted class and confidence of each prediction in [start, end): what the ``log`` source counts."""
        where = "made_at >= :start AND made_at < :end AND reference = :reference AND track = :track"
        for found in self._predictions(where, _window(start, end, reference, track)):
            yield found.row, found.predicted, found.confidence

    def count_predictions(self, start: datetime, end: datetime, *, reference: str, track: Track) -> int:
        """How many predictions were made in [start, end)."""
        rows = self._all(
            "SELECT count(*) FROM predictions"
            " WHERE made_at >= :start AND made_at < :end AND reference = :reference AND track = :track",
            _window(start, end, reference, track),
        )
        return int(rows[0][0])

    def labels(self, start: datetime, end: datetime, *, reference: str, track: Track) -> list[tuple[Answer, float]]:
        """Each right or wrong that arrived in [start, end) and still counts, and the seconds from its prediction.

        The delay is that of the reporter's first right or wrong, also where the answer was changed later.
        """
        found = self._all(_LABELS, {**_window(start, end, reference, track), "unknown": Answer.UNKNOWN.value})
        return [
            (Answer(answer), max(0.0, (parse_time(first_at) - parse_time(made_at)).total_seconds()))
            for answer, made_at, first_at in found
        ]

    def classes(self, bundle: str) -> tuple[str, ...]:
        """The classes of a bundle that once served here; empty for one that never did."""
        rows = self._all("SELECT classes FROM bundles WHERE bundle = ?", (bundle,))
        return tuple(json.loads(rows[0][0])) if rows else ()

    def newest_sequence(self) -> tuple[int, datetime | None]:
        """The highest sequence number of all feedback and when it arrived; (0, None) where there is none."""
        rows = self._all("SELECT sequence, arrived_at FROM feedback ORDER BY sequence DESC LIMIT 1", ())
        return (rows[0][0], parse_time(rows[0][1])) if rows else (0, None)

    def feedback_rows(self, after: int = 0, until: int | None = None) -> Iterator[FeedbackRow]:
        """The answers with ``after < sequence <= until`` that count, by sequence.

        An answer that the same reporter changed later, up to ``until``, is left out. The same arguments always give
        the same rows. ``until`` None is everything that is there now.
        """
        last = self.newest_sequence()[0] if until is None else until
        while page := self._all(_FEEDBACK, {"after": after, "until": last, "page": _PAGE}):
            for row in page:
                yield FeedbackRow(
                    sequence=row["sequence"],
                    arrived_at=parse_time(row["arrived_at"]),
                    prediction_id=row["prediction_id"],
                    answer=Answer(row["answer"]),
                    label=row["label"],
                    reporter=row["reporter"] or None,
                    predicted=row["predicted"],
                    confidence=row["confidence"],
                    bundle=row["bundle"],
                    reference=row["reference"],
                    track=Track(row["track"]),
                    release=row["release"],
                    row=json.loads(row["row"]),
                )
            after = page[-1]["sequence"]

    def unit_outcomes(self, release: str) -> list[tuple[int, Track, str, str, int]]:
        """(step, track, signal, bucket, units) of a release: what ``remint_unit_outcomes_total`` counts, all pods."""
        rows = self._all(
            "SELECT u.step, u.track, o.signal, o.bucket, count(*) FROM outcomes o"
            " JOIN units u ON u.release = o.release AND u.unit = o.unit WHERE o.release = ?"
            " GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
            (release,),
        )
        return [(step, Track(track), signal, bucket, count) for step, track, signal, bucket, count in rows]

    def _predictions(self, where: str, values: Mapping[str, Any]) -> Iterator[StoredPrediction]:
        query = f"SELECT * FROM predictions WHERE {where} AND sequence > :after ORDER BY sequence LIMIT {_PAGE}"  # noqa: S608
        after = 0
        while page := self._all(query, {**values, "after": after}):
            for row in page:
                yield StoredPrediction(
                    prediction_id=row["prediction_id"],
                    made_at=parse_time(row["made_at"]),
                    bundle=row["bundle"],
                    reference=row["reference"],
                    release=row["release"],
                    track=Track(row["track"]),
                    unit=row["unit"],
                    counts=bool(row["counts"]),
                    subject=row["subject"],
                    row=json.loads(row["row"]),
                    predicted=row["predicted"],
                    confidence=row["confidence"],
                )
            after = page[-1]["sequence"]

    def _all(self, query: str, values: Mapping[str, Any] | tuple[Any, ...]) -> list[Any]:
        with self._lock, _storage(self.path):
            return self._connection.execute(query, values).fetchall()


def _window(start: datetime, end: datetime, reference: str, track: Track) -> dict[str, str]:
    return {"start": format_time(start), "end": format_time(end), "reference": reference, "track": track.value}


@contextmanager
def _storage(path: Path) -> Iterator[None]:
    """SQLite's errors in our words. A failed write is treated as a full disk: nothing was kept, try later."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
            raise StorageFullError(f"cannot be written: {error}", where=str(path), hint="free some space") from error
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise ServiceError(f"is locked: {error}", where=str(path)) from error
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise DataError(f"is damaged: {error}", where=str(path), hint="restore it from a backup") from error
        raise


def open_store(url: str, *, pipeline: str | None = None, create: bool = False, key: str | None = None) -> FeedbackStore:
    """Open ``sqlite:///relative.db`` or ``sqlite:////absolute.db``; only ``create`` makes a new one, for ``pipeline``.

    ``key`` signs prediction ids and hashes units, subjects and reporters; without it REMINT_PREDICTION_KEY is taken,
    and without that a random one that stays in the store. Raises ConfigError for another URL, a missing store or one
    of another pipeline.
    """
    path = _path(url)
    if not create and not path.is_file():
        raise ConfigError("no such store", where=url, hint="`remint serve --store` makes it")
    if create:
        path.parent.mkdir(parents=True, exist_ok=True)
    with _storage(path):
        try:
            connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
            # WAL survives kill -9; FULL survives the machine's power as well. REPLACE must not get round the triggers.
            connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA recursive_triggers=ON;")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_CANTOPEN:
                raise ConfigError(
                    "cannot be opened", where=str(path), hint="check the directory's permissions"
                ) from None
            raise
        try:
            known = prepare(connection, path, pipeline)
        except BaseException:
            connection.close()
            raise
    secret = key or os.environ.get(PREDICTION_KEY_VARIABLE) or known["prediction_key"]
    return FeedbackStore(connection, path, pipeline=known["pipeline"], key=secret.encode())


def _path(url: str) -> Path:
    scheme, separator, rest = url.partition(":///")
    if scheme != "sqlite" or not separator or not rest:
        raise ConfigError("not a store's URL", where=url, hint="sqlite:///file.db or sqlite:////absolute/file.db")
    return Path(rest).absolute()
