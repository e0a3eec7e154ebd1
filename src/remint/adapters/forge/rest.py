"""One seam to a forge's REST API: a function that builds the request, one that reads the answer. JSON both ways.

Written on ``requests`` and no forge's own library: a dozen calls are needed, of two forges with one dialect, and each
has to end in one clear line. PyGithub and githubkit know GitHub alone, the first repeats writes after a lost answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.util.retry import Retry

from remint.core.document import format_time
from remint.core.markdown import clean
from remint.errors import ConfigError, LockedError, PermissionDeniedError, RemintError, ServiceError

_TIMEOUT_SECONDS: Final = (5.0, 30.0)  # to connect, to read
_MOST_REDIRECTS: Final = 3
_MOST_PAGES: Final = 50
_PAGE: Final = 100
_SETTING: Final = 'Settings, Actions, General: "Allow GitHub Actions to create and approve pull requests"'
_LOG = logging.getLogger(__name__)
T = TypeVar("T")

#: Reads are asked again when the server stumbles; writes never, as nobody knows whether the first one arrived.
_RETRY: Final = Retry(
    total=2,
    backoff_factor=0.2,
    allowed_methods=frozenset({"GET"}),
    status_forcelist=(500, 502, 503, 504),
    respect_retry_after_header=False,  # an hour's sleep is the caller's to decide
    raise_on_status=False,
)


class RefusedError(ConfigError):
    """The forge understood the request and does not take it (400, 405, 413, 422)."""

    code = "forge-refused"


class MissingError(ConfigError):
    """There is no such thing, or the token may not know of it (404)."""

    code = "forge-missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where the API is and who we are to it. The token appears in no message and no ``repr``."""

    url: str
    token: str = field(repr=False)
    variable: str  # the environment variable that the token came from


class _Bearer(AuthBase):
    """As an auth object, not a header: a header would be overwritten by a ``.netrc`` that knows the host."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Rest:
    """Calls to one API. ``needs`` says in each call which permission it takes, for the day on which it is missing."""

    def __init__(self, access: Access, headers: Mapping[str, str]) -> None:
        self._access = access
        self._session = requests.Session()
        self._session.auth = _Bearer(access.token)
        self._session.headers.update({"User-Agent": "remint", "Accept": "application/json", **headers})
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=_RETRY))

    def token_begins(self, start: str) -> bool:
        return self._access.token.startswith(start)

    def get(
        self, path: str, read: Callable[[Any], T], *, needs: str, params: Mapping[str, str | int] | None = None
    ) -> T:
        answer = self._call("GET", self._url(path), needs=needs, params=params)
        return _understood(answer, read)

    def find(self, path: str, read: Callable[[Any], T], *, needs: str) -> T | None:
        """As ``get``, None where there is no such thing."""
        try:
            return self.get(path, read, needs=needs)
        except MissingError:
            return None

    def pages(
        self,
        path: str,
        read: Callable[[Any], T],
        *,
        needs: str,
        params: Mapping[str, str | int] | None = None,
        within: str | None = None,
        page: str = "per_page",
    ) -> Iterator[T]:
        """Each item of each page; ``within`` is the key that holds the items, ``page`` the name of the size."""
        address: str | None = self._url(path)
        asked: Mapping[str, str | int] | None = {page: _PAGE, **(params or {})}
        for _ in range(_MOST_PAGES):
            if address is None:
                return
            answer = self._call("GET", address, needs=needs, params=asked)
            yield from _understood(answer, lambda body: [read(item) for item in (body[within] if within else body)])
            following = answer.links.get("next", {}).get("url")
            address = None if following is None else self._same_server(urljoin(answer.url, following))
            asked = None  # the link has them
        raise ServiceError(f"more than {_MOST_PAGES} pages", where=_place("GET", self._url(path)))

    def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        read: Callable[[Any], T],
        *,
        needs: str,
        params: Mapping[str, str | int] | None = None,
    ) -> T:
        """A write, sent once. ``read`` gets None where the answer is empty."""
        return _understood(self._call(method, self._url(path), needs=needs, body=body, params=params), read)

    # -- the seam ----------------------------------------------------------------------------------------------------

    def _url(self, path: str) -> str:
        return path if path.startswith(("http://", "https://")) else f"{self._access.url}{path}"

    def _call(
        self,
        method: str,
        url: str,
        *,
        needs: str,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str | int] | None = None,
    ) -> requests.Response:
        """Follows redirects by hand: ``requests`` would turn a POST into a GET where a repository was renamed."""
        for _ in range(_MOST_REDIRECTS + 1):
            request = self._session.prepare_request(requests.Request(method, url, params=params, json=body))
            answer = self._send(request)
            if answer.status_code not in {301, 302, 307, 308}:
                self._check(answer, needs)
                return answer
            url, params = self._same_server(urljoin(url, answer.headers.get("Location", ""))), None
            _LOG.warning("the forge has moved this to %s: was the repository renamed?", url)
        raise ServiceError("redirects without end", where=_place(method, url))

    def _send(self, request: requests.PreparedRequest) -> requests.Response:
        settings = self._session.merge_environment_settings(request.url, {}, None, None, None)
        try:
            return self._session.send(request, timeout=_TIMEOUT_SECONDS, allow_redirects=False, **settings)
        except requests.Timeout:
            problem = "did not answer in time"
        except requests.exceptions.SSLError:
            problem = "has a certificate that is not trusted here"
        except requests.RequestException as error:
            problem = f"cannot be reached, or hung up ({type(error).__name__})"
        raise ServiceError(
            f"the forge {problem}",
            where=_place(request.method, request.url),
            hint="run it again: nothing is done twice",
        )

    def _same_server(self, url: str) -> str:
        """The token goes to the server it belongs to and nowhere else."""
        ours, theirs = urlsplit(self._access.url), urlsplit(url)
        if (ours.scheme, ours.netloc) != (theirs.scheme, theirs.netloc):
            raise ServiceError(f"the forge sends us to another server: {theirs.netloc}", where=self._access.url)
        return url

    def _check(self, answer: requests.Response, needs: str) -> None:
        status = answer.status_code
        if status < 300:
            return
        where = _place(answer.request.method, answer.url)
        said = _message(answer)
        limited = _rate_limit(answer, said, where)
        if limited is not None:
            raise limited
        match status:
            case 401:
                raise PermissionDeniedError(
                    f"the token is refused: {said}",
                    where=where,
                    hint=f"is {self._access.variable} right and not expired?",
                )
            case 403 if "create or approve pull requests" in said:
                raise PermissionDeniedError(said, where=where, hint=_SETTING)
            case 403:
                accepted = answer.headers.get("X-Accepted-GitHub-Permissions")
                wanted = accepted.replace("=", ": ") if accepted else needs
                raise PermissionDeniedError(
                    said, where=where, hint=f"the token needs {wanted}; in a workflow, under the job's permissions"
                )
            case 404:
                raise MissingError(
                    f"not found, or the token may not know of it: {said}", where=where, hint=f"it takes {needs}"
                )
            case 409:
                raise LockedError(f"somebody changed the same thing: {said}", where=where, hint="try again")
            case 400 | 405 | 413 | 422:
                raise RefusedError(f"the forge does not take it: {said}", where=where)
            case _ if status >= 500 or status == 429:
                raise ServiceError(f"the forge failed with {status}: {said}", where=where, hint="try again later")
            case _:
                raise ConfigError(f"the forge answered {status}: {said}", where=where)


def _rate_limit(answer: requests.Response, said: str, where: str) -> RemintError | None:
    """Of GitHub's two limits: the hourly one names its end, the one against bursts how long to wait."""
    if answer.status_code not in {403, 429}:
        return None
    wait = answer.headers.get("Retry-After")
    if wait is not None or "secondary rate limit" in said.lower():
        wait = wait if wait is not None and wait.isdigit() else "60"
        return ServiceError("the forge wants fewer requests at once", where=where, hint=f"again in {wait} s")
    if answer.headers.get("X-RateLimit-Remaining") == "0":
        reset = answer.headers.get("X-RateLimit-Reset", "")
        when = (
            f"after {format_time(datetime.fromtimestamp(int(reset), UTC))[:19]}Z" if reset.isdigit() else "in an hour"
        )
        return ServiceError("the token's requests of this hour are used up", where=where, hint=f"again {when}")
    return None


def _understood(answer: requests.Response, read: Callable[[Any], T]) -> T:
    try:
        return read(answer.json() if answer.content else None)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ServiceError(
            "the forge answered something else than its description says",
            where=_place(answer.request.method, answer.url),
            hint="is the API's address right?",
        ) from None


def _message(answer: requests.Response) -> str:
    """What the forge says, with the details of a validation error."""
    try:
        body = answer.json()
        parts = [str(body["message"])]
        for error in body.get("errors") or []:
            detail = error if isinstance(error, str) else error.get("message") or f"{error['field']} {error['code']}"
            parts.append(str(detail))
    except (ValueError, LookupError, TypeError, AttributeError):
        return answer.reason or f"status {answer.status_code}"
    return clean("; ".join(parts))


def _place(method: str | None, url: str | None) -> str:
    """Without the query: it may be long, and tells nobody anything."""
    return f"{method} {(url or '').split('?', maxsplit=1)[0]}"
