"""The middleware that handles every request before it is routed, and every response on its way out."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from portico.api.faults import answer, answer_error, misdirected

log = structlog.get_logger()

REQUEST_ID = "x-openstack-request-id"
_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ANSWERED = ("*/*", "application/*", "application/json")


class RequestMiddleware:
    """ASGI middleware. It gives the request its id (the caller's, if they send one), normalizes the spellings of an
    address that clients use (``/v2`` and ``/v2.0``, with and without a slash at the end, and with the prefix of a proxy
    that passes it on), refuses clients that do not accept JSON, and turns unhandled errors into faults.

    ``scope["state"]`` contains ``request_id``, and ``address``: the path as the caller wrote it, for links, without the
    prefix, which is in ``scope["root_path"]``.
    """

    def __init__(self, app: ASGIApp, prefix: str = "") -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get(REQUEST_ID, "")
        request_id = given if _GIVEN_ID.fullmatch(given) else f"req-{uuid4()}"
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        scope.setdefault("state", {})
        path = scope["path"]
        if f"{path}/".startswith(f"{self._prefix}/"):
            path = path.removeprefix(self._prefix)
        scope["state"] |= {"request_id": request_id, "address": path}
        scope["path"], scope["root_path"] = _one_spelling(path), self._prefix
        if scope["path"].startswith("/v2.0/") and not _wants_json(headers.get("accept", "*/*")):
            status = HTTPStatus.NOT_ACCEPTABLE
            await answer(misdirected(status), status)(scope, receive, send_with_id)
            return
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            except ClientDisconnect:
                return  # the client disconnected before its request was complete: there is no one to answer
            except Exception as error:  # the last resort: the caller gets a fault, the log gets the reason
                log.exception("a request failed", path=scope["path"], method=scope["method"])
                if started:
                    raise
                await answer_error(error)(scope, receive, send_with_id)


def _one_spelling(path: str) -> str:
    path = path.rstrip("/") or "/"
    return f"/v2.0{path[3:]}" if path == "/v2" or path.startswith("/v2/") else path


def _wants_json(accept: str) -> bool:
    return any(one.split(";")[0].strip().lower() in _ANSWERED for one in accept.split(","))


def state_of(scope: Scope) -> dict[str, Any]:
    """The state that the middleware recorded for a request."""
    state: dict[str, Any] = scope["state"]
    return state
