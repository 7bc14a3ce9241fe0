"""Faults: which error is answered how. Two shapes, as clients know them: one for what a request says, one for where it
was sent to."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from portico import errors

log = structlog.get_logger()

STATUS_OF: Mapping[type[BaseException], HTTPStatus] = {
    errors.InvalidInput: HTTPStatus.BAD_REQUEST,
    errors.NotSupported: HTTPStatus.NOT_IMPLEMENTED,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Unsuitable: HTTPStatus.CONFLICT,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.StoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DriverUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""The most specific class along the error's MRO decides; what is not named is our own fault: 500."""

LONGEST_TEXT = 1000
"""Characters of a fault: it may quote what was sent, which may be megabytes."""


class Unacceptable(errors.InvalidInput):
    """A request that is wrong before what it says is looked at; ``status`` is its answer."""

    def __init__(self, status: HTTPStatus, rule: str) -> None:
        super().__init__("request", rule)
        self.status = status


class InvalidPage(errors.InvalidInput):
    """A list was asked for in an order or a page that does not exist: answered in the shape for wrong addresses."""


def status_of(error: BaseException) -> HTTPStatus:
    """The status that an error is answered with."""
    if isinstance(error, Unacceptable):
        return error.status
    found = (STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)
    return next(found, HTTPStatus.INTERNAL_SERVER_ERROR)


def answer(body: Any, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(to_json(body), status, headers, "application/json")


def fault(status: HTTPStatus, text: str) -> dict[str, Any]:
    """The body for what a request says."""
    return {
        "faultcode": "Client" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "Server",
        "faultstring": text,
        "debuginfo": None,
    }


def misdirected(status: HTTPStatus, description: str = "") -> dict[str, Any]:
    """The body for where a request was sent to."""
    return {"code": status.value, "title": status.phrase, "description": description}


def answer_error(error: BaseException) -> Response:
    """The answer to a request that ended in an error. The text of an error that is not ours is not told."""
    status = status_of(error)
    if isinstance(error, errors.Unauthenticated):
        body = {"error": {"code": status.value, "title": status.phrase, "message": str(error)}}
        return answer(body, status, {"WWW-Authenticate": error.challenge})
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return answer(fault(status, "internal error; the service's log has it under this request's id"), status)
    text = _text_of(error)
    body = fault(status, text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}...")
    if isinstance(error, InvalidPage):
        body |= misdirected(status, str(error))
    headers = {"Retry-After": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return answer(body, status, headers)


def _text_of(error: BaseException) -> str:
    """What the caller reads. A value that breaks a rule is told as clients of the reference know it, and as suites of
    tests look for it."""
    if isinstance(error, errors.InvalidInput) and not isinstance(error, errors.NotSupported | Unacceptable):
        return f"Invalid input for field/attribute {error.field}. {error.rule[:1].upper()}{error.rule[1:]}"
    return str(error)


def answer_errors(app: FastAPI) -> None:
    """Have the application answer its errors this way."""

    def on_error(_request: Request, error: Exception) -> Response:
        if status_of(error) == HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("a request failed", exc_info=error)
        return answer_error(error)

    def on_wrong_address(_request: Request, error: Exception) -> Response:
        status = HTTPStatus(getattr(error, "status_code", HTTPStatus.NOT_FOUND))
        return answer(misdirected(status), status, getattr(error, "headers", None))

    def on_wrong_parameter(_request: Request, error: Exception) -> Response:
        first = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": (), "msg": str(error)}
        where = ".".join(str(part) for part in first["loc"][1:])
        return answer(fault(HTTPStatus.BAD_REQUEST, f"{where}: {first['msg']}"), HTTPStatus.BAD_REQUEST)

    app.add_exception_handler(errors.PorticoError, on_error)
    app.add_exception_handler(HTTPException, on_wrong_address)
    app.add_exception_handler(RequestValidationError, on_wrong_parameter)
