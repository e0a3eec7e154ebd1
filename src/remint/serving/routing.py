"""Who asks: the unit that the router draws a track for."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from remint.errors import DataError

UNIT_HEADER: Final = "x-remint-unit"
SUBJECT_HEADER: Final = "x-remint-subject"
UNIT_COOKIE: Final = "remint-unit"

_LONGEST_ID: Final = 200
_COOKIE_SECONDS: Final = 30 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The unit of a request, whether its cookie has to be set, and the subject that the row is about."""

    unit: str
    is_new: bool
    subject: str | None

    def set_cookie(self, *, secure: bool) -> str:
        """A Set-Cookie value that keeps the unit on its track for 30 days."""
        flags = "; Secure" if secure else ""
        return f"{UNIT_COOKIE}={self.unit}; Max-Age={_COOKIE_SECONDS}; Path=/; HttpOnly; SameSite=Lax{flags}"


def caller_of(headers: Mapping[str, str], cookies: Mapping[str, str]) -> Caller:
    """The header wins over the cookie; with neither, a new unit is drawn. An unusable header raises DataError."""
    subject = _identifier(headers, SUBJECT_HEADER)
    unit = _identifier(headers, UNIT_HEADER)
    if unit is not None:
        return Caller(unit=unit, is_new=False, subject=subject)
    cookie = cookies.get(UNIT_COOKIE, "")
    if 16 <= len(cookie) <= 64 and cookie.isalnum() and cookie.isascii():
        return Caller(unit=cookie, is_new=False, subject=subject)
    return Caller(unit=secrets.token_hex(16), is_new=True, subject=subject)


def _identifier(headers: Mapping[str, str], name: str) -> str | None:
    value = headers.get(name)
    if value is None:
        return None
    value = value.strip()
    if not value or len(value) > _LONGEST_ID or not value.isprintable():
        raise DataError(f"must be 1 to {_LONGEST_ID} printable characters", where=name)
    return value
