"""Every way to fail, and the exit code it ends in.

Answers are values; failures are exceptions. Drift, a failed gate and a bad canary are answers and never raised.
"""

from __future__ import annotations

from difflib import get_close_matches
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

#: The page that has a section for each code, under the code as its heading.
DOCS: Final = "docs/errors.md"


class ExitCode(IntEnum):
    """Below 10 is about the tool, from 10 up about the world (and only with ``--exit-code``)."""

    ANSWERED = 0
    BUG = 1
    USAGE = 2
    NO_DATA = 3
    SERVICE = 4
    RETRAIN_DUE = 10
    GATE_FAILED = 11
    CANARY_FAILED = 12
    INCONCLUSIVE = 13
    INVESTIGATE = 14
    INTERRUPTED = 130


class RemintError(Exception):
    """What happened, where, and what to do next. Shown to the user as one line, without a traceback.

    ``where`` names a file, a key or an address; ``hint`` says what to do next. ``code`` is stable: workflows branch on
    it, and ``remint explain CODE`` prints its section of ``docs/errors.md``.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.BUG
    code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f" ({self.hint})" if self.hint else ""
        return " ".join(f"{place}{self.message}{advice}".split())

    @property
    def docs(self) -> str:
        """Where the docs explain it."""
        return f"{DOCS}#{self.code}"

    @property
    def line(self) -> str:
        """The sentence with the code at its end, as it is shown and searched for."""
        return f"{self} [{self.code}]"


class UsageError(RemintError):
    """The command was called in a way that it cannot answer."""

    exit_code = ExitCode.USAGE
    code = "usage"


class MissingExtraError(UsageError):
    """What was asked for needs a library of an optional extra."""

    code = "not-installed"


class NotAdmittedError(UsageError):
    """An environment does not take this model: an approval or what it had to pass before is missing."""

    code = "not-admitted"


class ConfigError(RemintError):
    """``params.yaml``, a state file or the environment says something that cannot be."""

    exit_code = ExitCode.USAGE
    code = "config"


class ShallowCloneError(ConfigError):
    """Tags and history are not all here, so that a champion that is there would read as none."""

    code = "shallow-clone"


class ForeignCommitsError(ConfigError):
    """A person's commits stand on the branch that Remint would overwrite."""

    code = "foreign-commits"


class PermissionDeniedError(ConfigError):
    """The forge knows our token and does not let it do this; the hint names the permission and where it is given."""

    code = "permission"


class RetentionError(ConfigError):
    """The window begins before what the monitoring server keeps."""

    code = "retention"


class DataError(RemintError):
    """A data file or a row is missing, malformed or contradicts the declared task."""

    exit_code = ExitCode.USAGE
    code = "data"


class BundleError(RemintError):
    """A model bundle is corrupt, tampered with, of unknown types or made for other library versions."""

    exit_code = ExitCode.USAGE
    code = "bundle"


class DocumentError(RemintError):
    """A contract file (decision, gate, ...) is not one, is of another pipeline or of an unknown major version."""

    exit_code = ExitCode.USAGE
    code = "document"


class AmbiguousSeriesError(RemintError):
    """A query that must answer with one series answered with several that differ in an unexpected label."""

    exit_code = ExitCode.USAGE
    code = "ambiguous-series"


class Silence(StrEnum):
    """Why a source has no answer. ``check.no_data`` says what each of them means."""

    NO_SERIES = "no_series"  # nothing by that name and those labels
    EMPTY = "empty"  # the series is there, or the log is, and counted nothing
    TOO_FEW = "too_few"  # fewer rows or labels than a rule asks for
    NAN = "nan"
    STALE = "stale"  # was there, and stopped before the window's end: the scrape or the service died
    COUNTER_RESET = "counter_reset"  # a process began anew, and what it had counted cannot be read
    SERVER_ERROR = "server_error"


class NoDataError(RemintError):
    """The question has no answer yet; ``silence`` says of which sort: an empty window, NaN, an absent series, ..."""

    exit_code = ExitCode.NO_DATA
    code = "no-data"

    def __init__(
        self, message: str, *, silence: Silence = Silence.EMPTY, where: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, where=where, hint=hint)
        self.silence = silence


class ServiceError(RemintError):
    """Another system failed or cannot be reached; the same call may succeed later."""

    exit_code = ExitCode.SERVICE
    code = "service"


class LockedError(RemintError):
    """Somebody else is doing the same work right now."""

    exit_code = ExitCode.SERVICE
    code = "locked"


class FrozenError(LockedError):
    """Somebody pulled the brake (``remint freeze``): nothing moves forward until it is released."""

    code = "frozen"


class ApprovedError(LockedError):
    """A person approved the bundle that the branch shows: it is not replaced under their name."""

    code = "approved"


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """``did you mean 'window'?`` for the nearest known word, or None where nothing is near."""
    near = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else None
