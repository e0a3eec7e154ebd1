"""A document as a workflow's input: gzip and base64, within what a dispatch takes, the same bytes each time."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from typing import Any, Final

from remint.core.document import canonical_json
from remint.errors import DocumentError

MAX_CHARACTERS: Final = 60_000  # GitHub takes 65,535 for all inputs of a dispatch
_MAX_BYTES: Final = 20_000_000  # unpacked: zeros pack a thousandfold
_GZIP: Final = 31  # zlib's word for gzip with the largest window


def pack(document: Mapping[str, Any]) -> str:
    """Raises DocumentError where the packed text is longer than ``MAX_CHARACTERS``."""
    packer = zlib.compressobj(level=9, wbits=_GZIP)
    packed = base64.b64encode(packer.compress(canonical_json(document)) + packer.flush()).decode()
    if len(packed) > MAX_CHARACTERS:
        raise DocumentError(
            f"packed it has {len(packed)} characters, and a dispatch takes {MAX_CHARACTERS}",
            where=str(document.get("schema")),
            hint="remint retrain --decision FILE where the file is",
        )
    return packed


def unpack(text: str, *, where: str) -> dict[str, Any]:
    """What ``pack`` packed. Whether it was changed on the way is for ``document.unseal`` to say."""
    try:
        unpacker = zlib.decompressobj(wbits=_GZIP)
        data = unpacker.decompress(base64.b64decode("".join(text.split()), validate=True), _MAX_BYTES)
        document = json.loads(data) if unpacker.eof else None
    except (binascii.Error, zlib.error, ValueError):
        document = None
    if not isinstance(document, dict):
        raise DocumentError("not a packed document", where=where, hint="remint dispatch makes it")
    return document
