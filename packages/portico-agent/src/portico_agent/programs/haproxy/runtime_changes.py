"""Plans runtime changes: whether a running HAProxy can make a change, and by which commands. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from portico_wire import Haproxy, Server

SILENCE = re.compile("")
REGISTERED = re.compile("New server registered.")
DELETED = re.compile("Server deleted.")
MOVED = re.compile(r".*(changed|no need to change).*", re.DOTALL)

MEANT_BY_THE_RUNTIME_API = re.compile(r"[;\\<\"'#$]")
"""Characters with a meaning in the runtime API or in the configuration's quoting: a line with one needs a reload."""


@dataclass(frozen=True, slots=True)
class RuntimeCommand:
    """A command, and what HAProxy answers if it carried it out. ``may_wait``: a refusal may be temporary, so the
    command is retried."""

    text: str
    expected: re.Pattern[str]
    may_wait: bool = False


def plan_runtime_changes(old: Haproxy, new: Haproxy) -> list[RuntimeCommand] | None:
    """The commands that lead from the old configuration to the new one, on the same sockets; None if that needs a new
    process."""
    if old.frontends != new.frontends or old.backends != new.backends:
        return None
    rest = _text_without_servers(old)
    if rest is None or rest != _text_without_servers(new):
        return None
    dynamic = {backend.name for backend in new.backends if backend.dynamic}
    before = {(server.backend, server.name): server for server in old.servers}
    after = {(server.backend, server.name): server for server in new.servers}
    commands: list[RuntimeCommand] = []
    for key, server in before.items():
        if key not in after:
            if server.backend not in dynamic:
                return None
            commands += _remove(server)
    for key, server in after.items():
        if key not in before:
            if server.backend not in dynamic or MEANT_BY_THE_RUNTIME_API.search(server.line):
                return None
            commands += _add(server)
        elif server != before[key]:
            if shape_of(server) != shape_of(before[key]):
                return None
            commands += _change(before[key], server)
    return commands


def adds_unknown_shape(old: Haproxy, new: Haproxy) -> bool:
    """Whether HAProxy must check the line of an added server: the line differs from every existing line of its backend
    in more than name, address, weight and state, which the wire has checked."""
    names = {(server.backend, server.name) for server in old.servers}
    added = [server for server in new.servers if (server.backend, server.name) not in names]
    known = {_nameless_shape(server) for server in old.servers} if added else set()
    return any(_nameless_shape(server) not in known for server in added)


def _nameless_shape(server: Server) -> tuple[str, ...]:
    """A server's shape without its name, which occurs twice in the line if it is also the value of the cookie."""
    return (server.backend, *("" if word == server.name else word for word in shape_of(server)))


def shape_of(server: Server) -> list[str]:
    """The words of a server's line except address, weight and state: the words that the runtime API cannot change."""
    words = server.line.split(" ")
    weight = words.index("weight")
    return [word for index, word in enumerate(words) if index not in (2, weight, weight + 1) and word != "disabled"]


def _text_without_servers(haproxy: Haproxy) -> list[str] | None:
    """The lines that are not servers; None if server lines and servers do not correspond one to one."""
    lines = {server.line for server in haproxy.servers}
    rest = [line for line in haproxy.configuration.split("\n") if line.strip() not in lines]
    if haproxy.configuration.count("\n") + 1 - len(rest) != len(haproxy.servers):
        return None
    return rest


def _remove(server: Server) -> list[RuntimeCommand]:
    name = f"{server.backend}/{server.name}"
    return [
        RuntimeCommand(f"set server {name} state maint", SILENCE),
        RuntimeCommand(f"del server {name}", DELETED, may_wait=True),
    ]


def _add(server: Server) -> list[RuntimeCommand]:
    """The commands that add a server, which begins in maintenance and without checks when added at run time."""
    name = f"{server.backend}/{server.name}"
    words = [word for word in server.line.split(" ")[2:] if word != "disabled"]
    commands = [RuntimeCommand(f"add server {name} {' '.join(words)}", REGISTERED)]
    if "check" in words:
        commands.append(RuntimeCommand(f"enable health {name}", SILENCE))
    if server.state == "ready":
        commands.append(RuntimeCommand(f"enable server {name}", SILENCE))
    return commands


def _change(old: Server, new: Server) -> list[RuntimeCommand]:
    name = f"{new.backend}/{new.name}"
    commands = []
    if new.state == "maint" and old.state != "maint":
        commands.append(RuntimeCommand(f"set server {name} state maint", SILENCE))
    if (new.address, new.port) != (old.address, old.port):
        commands.append(RuntimeCommand(f"set server {name} addr {new.address} port {new.port}", MOVED))
    if new.weight != old.weight:
        commands.append(RuntimeCommand(f"set server {name} weight {new.weight}", SILENCE))
    if new.state == "ready" and old.state != "ready":
        commands.append(RuntimeCommand(f"set server {name} state ready", SILENCE))
    return commands
