"""The paths of the agent's API."""

from __future__ import annotations

import asyncio
import math
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

from portico_agent import __version__
from portico_agent.amphorae import Amphorae
from portico_agent.connection import Request, Response
from portico_agent.failures import Invalid, MethodNotAllowed, NotFound, OtherWireVersion
from portico_agent.programs.haproxy.binary import HAProxyBinary
from portico_wire import ID, AgentInfo, AmphoraList, Bundle, Sessions, WireError, WireVersionError

LONGEST_DRAIN_SECONDS = 3600.0

Message = TypeVar("Message")

Action = Callable[[str, Request], Awaitable[Response]]


class Api:
    """Looks up the action for a request's path and method, and runs it."""

    def __init__(self, amphorae: Amphorae, haproxy: HAProxyBinary) -> None:
        self._amphorae = amphorae
        self._haproxy = haproxy
        self._boot_id = str(uuid.uuid4())
        self._of_all: dict[str, dict[str, Action]] = {
            "/v1/info": {"GET": self._info},
            "/v1/amphorae": {"GET": self._list},
        }
        self._of_one: dict[str, dict[str, Action]] = {
            "": {"GET": self._show, "PUT": self._ensure, "DELETE": self._delete},
            "configuration": {"PUT": self._push},
            "stats": {"GET": self._statistics},
            "sessions": {"GET": self._sessions, "PUT": self._give_sessions},
        }

    async def handle(self, request: Request) -> Response:
        """Answer a request. Raises AgentFailure."""
        amphora_id = ""
        methods = self._of_all.get(request.path)
        if methods is None and request.path.startswith("/v1/amphorae/"):
            amphora_id, _, rest = request.path.removeprefix("/v1/amphorae/").partition("/")
            methods = self._of_one.get(rest)
            if ID.fullmatch(amphora_id) is None:
                raise Invalid(f"an amphora's id must be of the form {ID.pattern}", field="id")
        if methods is None:
            raise NotFound(f"there is no path {request.path}")
        if request.method not in methods:
            raise MethodNotAllowed(f"{request.path} allows {', '.join(methods)}")
        return await methods[request.method](amphora_id, request)

    async def _info(self, _: str, __: Request) -> Response:
        haproxy = self._haproxy
        info = AgentInfo(__version__, haproxy.version, haproxy.path, len(self._amphorae), self._boot_id)
        return Response(200, info.to_dict())

    async def _list(self, _: str, __: Request) -> Response:
        return Response(200, AmphoraList(tuple(await self._amphorae.list())).to_dict())

    async def _show(self, amphora_id: str, _: Request) -> Response:
        return Response(200, (await self._amphorae.state(amphora_id)).to_dict())

    async def _ensure(self, amphora_id: str, _: Request) -> Response:
        return Response(200, (await self._amphorae.ensure(amphora_id)).to_dict())

    async def _delete(self, amphora_id: str, request: Request) -> Response:
        await self._amphorae.delete(amphora_id, _read_drain(request.query.get("drain", "0")))
        return Response(204)

    async def _push(self, amphora_id: str, request: Request) -> Response:
        bundle = await asyncio.to_thread(_read, Bundle.from_dict, request)
        if bundle.amphora_id != amphora_id:
            raise Invalid("the bundle belongs to another amphora", field="amphora_id")
        return Response(200, (await self._amphorae.push(amphora_id, bundle)).to_dict())

    async def _statistics(self, amphora_id: str, _: Request) -> Response:
        return Response(200, (await self._amphorae.statistics(amphora_id)).to_dict())

    async def _sessions(self, amphora_id: str, _: Request) -> Response:
        sessions = await self._amphorae.sessions(amphora_id)
        return Response(200, await asyncio.to_thread(sessions.to_dict))

    async def _give_sessions(self, amphora_id: str, request: Request) -> Response:
        sessions = await asyncio.to_thread(_read, Sessions.from_dict, request)
        await self._amphorae.give_sessions(amphora_id, sessions)
        return Response(204)


def _read(decode: Callable[[object], Message], request: Request) -> Message:
    try:
        return decode(request.json())
    except WireVersionError as error:
        message = f"this agent speaks version {error.spoken} of the wire, but was sent version {error.sent}"
        raise OtherWireVersion(message, spoken=error.spoken, sent=error.sent) from error
    except WireError as error:
        raise Invalid(str(error), field=error.field) from error


def _read_drain(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= LONGEST_DRAIN_SECONDS:
        raise Invalid(f"drain must be seconds from 0 to {LONGEST_DRAIN_SECONDS:g}", field="drain")
    return seconds
