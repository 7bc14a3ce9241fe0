"""Faults: the response to each error. There are two shapes, which clients know: one for errors in a request, and one
for requests to a wrong address."""

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
"""The most specific class in the error's MRO decides. Any other error is a bug in the service: 500."""

LONGEST_TEXT = 1000
"""Most characters in a fault: it can quote the request, which can be megabytes."""


class Unacceptable(errors.InvalidInput):
    """A request that is refused before its content is read; ``status`` is the status of the response."""

    def __init__(self, status: HTTPStatus, rule: str) -> None:
        super().__init__("request", rule)
        self.status = status


class InvalidPage(errors.InvalidInput):
    """A list was requested with an invalid order or page. The response has the shape for wrong addresses."""


def status_of(error: BaseException) -> HTTPStatus:
    """The HTTP status of the response to an error."""
    if isinstance(error, Unacceptable):
        return error.status
    found = (STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)
    return next(found, HTTPStatus.INTERNAL_SERVER_ERROR)


def answer(body: Any, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(to_json(body), status, headers, "application/json")


def fault(status: HTTPStatus, text: str) -> dict[str, Any]:
    """The response body for an error in a request."""
    return {
        "faultcode": "Client" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "Server",
        "faultstring": text,
        "debuginfo": None,
    }


def misdirected(status: HTTPStatus, description: str = "") -> dict[str, Any]:
    """The response body for a request to a wrong address."""
    return {"code": status.value, "title": status.phrase, "description": description}


def answer_error(error: BaseException) -> Response:
    """The response to a request that ended in an error. It does not include the text of an unexpected error."""
    status = status_of(error)
    if isinstance(error, errors.Unauthenticated):
        body = {"error": {"code": status.value, "title": status.phrase, "message": str(error)}}
        return answer(body, status, {"WWW-Authenticate": error.challenge})
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        reason = "internal error; the service's log has the details under this request's id"
        return answer(fault(status, reason), status)
    text = _text_of(error)
    body = fault(status, text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}...")
    if isinstance(error, InvalidPage):
        body |= misdirected(status, str(error))
    headers = {"Retry-After": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return answer(body, status, headers)


def _text_of(error: BaseException) -> str:
    """The text that the caller reads. For a value that breaks a rule it has the wording of the reference
    implementation, which clients know and test suites look for."""
    if isinstance(error, errors.InvalidInput) and not isinstance(error, errors.NotSupported | Unacceptable):
        return f"Invalid input for field/attribute {error.field}. {error.rule[:1].upper()}{error.rule[1:]}"
    return str(error)


def answer_errors(app: FastAPI) -> None:
    """Make the application answer errors with these faults."""

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
