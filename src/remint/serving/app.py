"""The endpoints. ``docs/serving.md`` is their contract."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from remint.adapters.feedback_store import StorageFullError, open_store
from remint.core.feedback import parse_answer
from remint.core.release import Track
from remint.core.table import table_from_rows
from remint.errors import DataError, RemintError, UsageError, did_you_mean
from remint.serving.batcher import OverloadedError
from remint.serving.recorder import Answered, FeedbackJob, Origin, Predicted, PredictJob, UnknownPredictionError
from remint.serving.routing import caller_of
from remint.serving.service import Service

Handler = Callable[[Request], Awaitable[Response]]

_LONGEST_REPORTER: Final = 200
_FEEDBACK_KEYS: Final = frozenset({"prediction_id", "answer", "label", "reporter"})


class TooLargeError(UsageError):
    """More bytes or rows than one request may have."""

    code = "too-large"


class MalformedError(UsageError):
    """Not JSON at all."""

    code = "malformed"


def create_app(service: Service) -> Starlette:
    """The whole service; closes it at the end of its lifespan."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await service.close()

    predict = Route("/predict", _timed(service, "predict", _predict), methods=["POST"])
    return Starlette(routes=[predict, *side_routes(service)], lifespan=lifespan)


def side_routes(service: Service) -> list[Route]:
    """Everything beside ``/predict``: what ``remint.instrument`` adds to somebody else's app."""
    return [
        Route("/feedback", _timed(service, "feedback", _feedback), methods=["POST"]),
        Route("/feedback/export", _timed(service, "export", _export), methods=["GET"]),
        Route("/model/info", _timed(service, "info", _info), methods=["GET"]),
        Route("/healthz", _timed(service, "healthz", _healthz), methods=["GET"]),
        Route("/readyz", _timed(service, "readyz", _readyz), methods=["GET"]),
        Route("/metrics", _timed(service, "metrics", _metrics), methods=["GET"]),
    ]


def _timed(service: Service, route: str, answer: Callable[[Service, Request], Awaitable[Response]]) -> Handler:
    """Every request is counted and timed; every error is one JSON object."""

    async def handler(request: Request) -> Response:
        started = time.perf_counter()
        code = 500  # of a bug, which Starlette answers
        try:
            response = await answer(service, request)
            code = response.status_code
        except RemintError as error:
            response = _error(error)
            code = response.status_code
        except ClientDisconnect:
            response = Response(status_code=(code := 499))  # nobody reads it; nginx's number for it
        finally:
            track: Track | None = getattr(request.state, "track", None)
            service.metrics.observe_request(route, code, time.perf_counter() - started, track)
        return response

    return handler


async def _predict(service: Service, request: Request) -> Response:
    if service.draining:
        raise OverloadedError("stopping")
    caller = caller_of(request.headers, request.cookies)
    release = service.release  # taken once: a swap from here on does not touch this request
    track, bundle = release.pick(caller.unit)
    request.state.track = track
    rows = _rows(await _json(request, service.limits.max_request_bytes), service.limits.max_rows)
    try:
        table = table_from_rows(bundle.schema, rows)
    except OverflowError:
        raise DataError("a number is too large") from None
    origin = Origin(
        release=release.state.release,
        step=release.state.step,
        track=track,
        bundle=bundle,
        unit=caller.unit if release.state.draws else None,
        subject=caller.subject,
    )
    result = await service.batcher.submit(PredictJob(origin=origin, table=table))
    assert isinstance(result, Predicted)
    prediction = result.prediction
    body = {
        "pipeline": service.pipeline,
        "release": release.state.release,
        "track": track.value,
        "bundle": bundle.id,
        "predictions": [
            {
                "prediction_id": prediction_id,
                "label": label,
                "confidence": confidence,
                "probabilities": dict(zip(bundle.schema.classes, probabilities, strict=True)),
            }
            for prediction_id, label, confidence, probabilities in zip(
                result.prediction_ids,
                prediction.labels.tolist(),
                prediction.confidence.tolist(),
                prediction.probabilities.tolist(),
                strict=True,
            )
        ],
    }
    response = _answer(body)
    if caller.is_new:
        response.headers.append("set-cookie", caller.set_cookie(secure=request.url.scheme == "https"))
    return response


async def _feedback(service: Service, request: Request) -> Response:
    body = await _json(request, service.limits.max_request_bytes)
    if not isinstance(body, dict):
        raise DataError("not a JSON object")
    for key in body:
        if key not in _FEEDBACK_KEYS:
            raise DataError(f"unknown key {key!r:.60}", hint=did_you_mean(key, _FEEDBACK_KEYS))
    prediction_id, reporter, label = body.get("prediction_id"), body.get("reporter"), body.get("label")
    if not isinstance(prediction_id, str):
        raise DataError("a prediction id is needed", where="prediction_id")
    if reporter is not None and not (isinstance(reporter, str) and 0 < len(reporter) <= _LONGEST_REPORTER):
        raise DataError(f"must be a text of 1 to {_LONGEST_REPORTER} characters", where="reporter")
    if isinstance(label, dict | list):
        raise DataError("must be a text, a number or a boolean", where="label")
    job = FeedbackJob(
        prediction_id=prediction_id, answer=parse_answer(body.get("answer")), label=label, reporter=reporter
    )
    result = await service.batcher.submit(job)
    assert isinstance(result, Answered)
    return _answer(
        {
            "prediction_id": prediction_id,
            "sequence": result.receipt.sequence,
            "answer": job.answer.value,
            "label": result.label,
            "stored": result.receipt.stored,
        }
    )


async def _export(service: Service, request: Request) -> Response:
    """JSON lines of the answers that count, from a connection of its own: the worker is not held up."""
    if service.export_token is None:
        return _failure(404, "not-found", "the export is off: REMINT_SERVICE_TOKEN is not set")
    given = request.headers.get("authorization", "")
    if not hmac.compare_digest(given.encode(), f"Bearer {service.export_token}".encode()):
        response = _failure(401, "unauthorized", "a bearer token is needed")
        response.headers["www-authenticate"] = "Bearer"
        return response
    after = _whole(request, "after", 0)
    newest = (await asyncio.to_thread(service.store.newest_sequence))[0]
    until = min(_whole(request, "until", newest), newest)

    def lines() -> Iterator[bytes]:
        with open_store(f"sqlite:///{service.store.path}") as store:
            for row in store.feedback_rows(after, until):
                yield orjson.dumps(row.to_json(), option=orjson.OPT_APPEND_NEWLINE)

    return StreamingResponse(lines(), media_type="application/jsonl", headers={"x-remint-until": str(until)})


async def _info(service: Service, _: Request) -> Response:
    return _answer(service.info())


async def _healthz(_: Service, __: Request) -> Response:
    return _answer({"alive": True})


async def _readyz(service: Service, _: Request) -> Response:
    """Ready from the first load on; a later load that fails leaves the old models serving, so it stays ready."""
    return _answer({"ready": not service.draining}, status=503 if service.draining else 200)


async def _metrics(service: Service, _: Request) -> Response:
    body, content_type = await asyncio.to_thread(service.metrics.render)
    return Response(body, headers={"content-type": content_type})


async def _json(request: Request, max_bytes: int) -> Any:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise TooLargeError(f"more than {max_bytes} bytes", hint="send fewer rows a request")
        chunks.append(chunk)
    try:
        return orjson.loads(b"".join(chunks))
    except orjson.JSONDecodeError as error:
        raise MalformedError(f"not JSON: {error}") from None


def _rows(body: Any, max_rows: int) -> list[dict[str, object]]:
    """``{"rows": [...]}`` or ``{"row": {...}}``."""
    if not isinstance(body, dict) or len(body) != 1 or not body.keys() & {"rows", "row"}:
        raise DataError("expected one key, rows or row", hint='{"rows": [{"column": value, ...}]}')
    rows = body["rows"] if "rows" in body else [body["row"]]
    if not isinstance(rows, list) or not rows:
        raise DataError("must be a list of at least one row", where="rows")
    if len(rows) > max_rows:
        raise TooLargeError(f"{len(rows)} rows, more than {max_rows}", hint="send them in several requests")
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            raise DataError("is not an object of column names and values", where=f"row {i}")
    return rows


def _whole(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise DataError(f"{text!r:.40} is not a sequence number", where=name)
    return int(text)


def _error(error: RemintError) -> Response:
    match error:
        case UnknownPredictionError():
            status = 404
        case TooLargeError():
            status = 413
        case MalformedError():
            status = 400
        case DataError():
            status = 422
        case StorageFullError():
            status = 507
        case OverloadedError():
            status = 503
        case _:
            status = 500
    return _failure(status, error.code, str(error))


def _failure(status: int, code: str, message: str) -> Response:
    return _answer({"error": code, "message": message}, status=status)


def _answer(body: Any, *, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status_code=status, media_type="application/json")
