"""Access to a company's Prometheus, from the environment: who we are, whom we trust. Secrets never leave this module.

``REMINT_PROMETHEUS_TOKEN`` (bearer), or ``_USERNAME`` and ``_PASSWORD`` (basic), ``_CLIENT_CERT`` and ``_CLIENT_KEY``
(mutual TLS), ``_CA_FILE`` (a CA of one's own), ``_TENANT`` (``X-Scope-OrgID`` of Mimir and Cortex). Proxies are those
of the usual variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from remint.errors import ConfigError

PREFIX: Final = "REMINT_PROMETHEUS_"


class _Bearer(AuthBase):
    """As an auth object, not a header: a header would be overwritten by a ``.netrc`` that knows the host."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class _Nobody(AuthBase):
    """No credentials, and none from a ``.netrc`` either: the environment is the one place to look."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    url: str  # without user information, fit for messages
    advice: str  # what to do when the credentials are refused
    auth: AuthBase = field(repr=False)
    headers: Mapping[str, str]
    verify: str | bool
    certificate: str | tuple[str, str] | None

    def session(self) -> requests.Session:
        session = requests.Session()
        session.verify = self.verify
        session.cert = self.certificate
        return session


def access_from_environment(
    url: str, environ: Mapping[str, str], *, prefix: str = PREFIX, what: str = "the Prometheus URL"
) -> Access:
    """``prefix`` of the variables, ``what`` the address is called.

    Raises ConfigError, naming the variable and never its value, for what contradicts itself or does not exist.
    """
    bare, user, password = _split(url, what)
    token = _secret(environ, prefix + "TOKEN")
    user = _secret(environ, prefix + "USERNAME") or user
    password = _secret(environ, prefix + "PASSWORD") or password
    if token and user:
        raise ConfigError("both a token and a user name", where=f"{prefix}TOKEN", hint="set one of them")
    if password and not user:
        raise ConfigError("a password without a user name", where=f"{prefix}PASSWORD", hint=f"set {prefix}USERNAME")
    auth: AuthBase = _Nobody()
    advice = f"set {prefix}TOKEN, or {prefix}USERNAME and {prefix}PASSWORD"
    if token:
        auth, advice = _Bearer(token), f"check {prefix}TOKEN"
    elif user:
        auth, advice = HTTPBasicAuth(user, password or ""), f"check {prefix}USERNAME and {prefix}PASSWORD"
    certificate, key = _file(environ, prefix + "CLIENT_CERT"), _file(environ, prefix + "CLIENT_KEY")
    if key and not certificate:
        raise ConfigError("a key without its certificate", where=f"{prefix}CLIENT_KEY", hint="set the certificate too")
    tenant = _secret(environ, prefix + "TENANT")
    return Access(
        url=bare,
        advice=advice,
        auth=auth,
        headers={"X-Scope-OrgID": tenant} if tenant else {},
        verify=_file(environ, prefix + "CA_FILE") or True,
        certificate=(certificate, key) if certificate and key else certificate,
    )


def _split(url: str, where: str) -> tuple[str, str | None, str | None]:
    """The URL without its user information, and the user and password that stood there."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise ConfigError("not an http or https URL", where=where) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError("not an http or https URL", where=where, hint="such as http://127.0.0.1:9090")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    bare = urlunsplit((parts.scheme, f"{host}:{port}" if port else host, parts.path.rstrip("/"), "", ""))
    user, password = (unquote(part) if part else None for part in (parts.username, parts.password))
    return bare, user, password


def _secret(environ: Mapping[str, str], name: str) -> str | None:
    value = environ.get(name, "").strip()
    if not value.isprintable():
        raise ConfigError("holds a line break or another control character", where=name)
    return value or None


def _file(environ: Mapping[str, str], name: str) -> str | None:
    path = environ.get(name, "").strip()
    if path and not Path(path).is_file():
        raise ConfigError(f"no such file: {path}", where=name)
    return path or None
