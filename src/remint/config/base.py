"""What every section of ``params.yaml`` is made of: frozen, closed, and types whose errors say what was expected."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from remint.core.document import is_slug

_DURATION = re.compile(r"(?P<count>\d+(?:\.\d+)?)(?P<unit>[smhdw])")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_duration(value: object) -> timedelta:
    """``90s``, ``15m``, ``6h``, ``7d``, ``2w``: a positive duration. Anything else raises ValueError."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(str(value))
    if match is None or float(match["count"]) <= 0:
        raise ValueError(f"{value!r} is not a duration such as 90s, 15m, 6h, 7d or 2w")
    return timedelta(seconds=float(match["count"]) * _UNIT_SECONDS[match["unit"]])


def _slug(value: str) -> str:
    if not is_slug(value):
        raise ValueError(f"{value!r} is not a slug: lower-case words joined by dashes, 2 to 40 characters")
    return value


def zone_name(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{value!r} is not a time zone such as UTC or Europe/Amsterdam") from None
    return value


def _module_function(value: str) -> str:
    if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", value) is None:
        raise ValueError(f"{value!r} is not module:function")
    return value


Slug = Annotated[str, AfterValidator(_slug)]
Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Share = Annotated[float, Field(ge=0, le=1)]
OpenShare = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=0)]
PositiveCount = Annotated[int, Field(ge=1)]
ModuleFunction = Annotated[str, AfterValidator(_module_function)]


class Section(BaseModel):
    """Frozen, and no key that is not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
