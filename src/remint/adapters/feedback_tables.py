"""The tables of the feedback store, and the triggers that make them append-only."""

from __future__ import annotations

import secrets
import sqlite3
from pathlib import Path
from typing import Final

from remint.errors import ConfigError

_VERSION: Final = 1

_TABLES: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE bundles (
  bundle TEXT PRIMARY KEY, reference TEXT NOT NULL, classes TEXT NOT NULL, first_loaded_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE predictions (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT, prediction_id TEXT NOT NULL UNIQUE, made_at TEXT NOT NULL,
  bundle TEXT NOT NULL, reference TEXT NOT NULL, release TEXT NOT NULL, track TEXT NOT NULL,
  unit TEXT, counts INTEGER NOT NULL, subject TEXT, row TEXT NOT NULL, predicted TEXT NOT NULL, confidence REAL NOT NULL
) STRICT;
CREATE INDEX predictions_made_at ON predictions (made_at);
CREATE INDEX predictions_subject ON predictions (subject) WHERE subject IS NOT NULL;
CREATE TABLE feedback (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT, arrived_at TEXT NOT NULL, prediction_id TEXT NOT NULL,
  answer TEXT NOT NULL, label TEXT, reporter TEXT NOT NULL
) STRICT;
CREATE INDEX feedback_prediction ON feedback (prediction_id, reporter, sequence);
CREATE TABLE units (
  release TEXT NOT NULL, unit TEXT NOT NULL, step INTEGER NOT NULL, track TEXT NOT NULL, first_seen_at TEXT NOT NULL,
  PRIMARY KEY (release, unit)
) STRICT, WITHOUT ROWID;
CREATE TABLE outcomes (
  release TEXT NOT NULL, unit TEXT NOT NULL, signal TEXT NOT NULL, bucket TEXT NOT NULL,
  PRIMARY KEY (release, unit, signal)
) STRICT, WITHOUT ROWID;
"""
_NAMES: Final = ("meta", "bundles", "predictions", "feedback", "units", "outcomes")
_APPEND_ONLY: Final = "".join(
    f"CREATE TRIGGER {name}_no_{verb.lower()} BEFORE {verb} ON {name} "
    f"BEGIN SELECT RAISE(ABORT, '{name} is append-only'); END;\n"
    for name in _NAMES
    for verb in ("UPDATE", "DELETE")
)


def prepare(connection: sqlite3.Connection, path: Path, pipeline: str | None) -> dict[str, str]:
    """Make the tables of a new store, check those of an old one; the store's own facts."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            if pipeline is None:
                raise ConfigError("is not a store of Remint", where=str(path))
            for statement in (*_statements(_TABLES), *_statements(_APPEND_ONLY, end="END;")):
                connection.execute(statement)
            connection.executemany(
                "INSERT INTO meta VALUES (?, ?)",
                [("pipeline", pipeline), ("prediction_key", secrets.token_hex(32))],
            )
            connection.execute(f"PRAGMA user_version={_VERSION}")
        elif version != _VERSION:
            raise ConfigError(
                f"has version {version}, this Remint reads {_VERSION}", where=str(path), hint="install its Remint"
            )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    known = dict(connection.execute("SELECT name, value FROM meta").fetchall())
    if pipeline is not None and known["pipeline"] != pipeline:
        raise ConfigError(f"belongs to pipeline {known['pipeline']!r}, not {pipeline!r}", where=str(path))
    return known


def _statements(script: str, *, end: str = ";") -> list[str]:
    """``executescript`` would commit on its own; the tables and their version must come as one."""
    return [part + end for part in script.split(end) if part.strip()]
