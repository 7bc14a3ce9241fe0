"""What the controller and the agent say to each other, and nothing else.

Belongs here: the messages as frozen values, their strict decoding and their encoding, the names and paths of the
protocol. Does not: any I/O, any decision, any import beyond the standard library. Both sides import this package;
neither imports the other.

The protocol
============

HTTP/1.1 with JSON over mutual TLS 1.3. Only a client certificate signed by the configured CA *and* made out to the
controller's name (subject CN or DNS name) is let in. A body is at most ``MAXIMUM_BODY_BYTES``.

Two programs understand each other where they speak one ``WIRE_VERSION``, which ``AgentInfo`` and ``Bundle`` say. It is
looked at before everything else, so that what another version means is not guessed at. Version 1 said nothing of it and
knew no refusal of another: who is answered "invalid", or does not understand an answer, asks for ``AgentInfo`` before
making anything of it.

======  ================================  ==============================================================================
GET     /v1/info                          200 ``AgentInfo``
GET     /v1/amphorae                      200 ``AmphoraList``
GET     /v1/amphorae/{id}                 200 ``AmphoraState``; 404
PUT     /v1/amphorae/{id}                 200 ``AmphoraState``: ensures that it exists; 410 where it was deleted before
DELETE  /v1/amphorae/{id}?drain=SECONDS   204, also where it does not exist; answers once the amphora is gone, so wait
                                          longer than ``drain``. The id can never be used again on this host (410)
PUT     /v1/amphorae/{id}/configuration   ``Bundle`` -> 200 ``PushResult``; 404, 409, 422
GET     /v1/amphorae/{id}/stats           200 ``Statistics``; 404
GET     /v1/amphorae/{id}/sessions        200 ``Sessions``; 404
PUT     /v1/amphorae/{id}/sessions        ``Sessions`` of the amphora that this one replaces -> 204; 404. Kept until
                                          HAProxy is started; where it runs, it is told of clients that it does not know
======  ================================  ==============================================================================

Every other answer is a ``Failure``: ``{"code", "error", ...}`` with one of these codes:

====================  ======  ==========================================================================================
invalid               400     the request or a field of it (``field``) breaks a rule
forbidden             403     the certificate is not the controller's
not-found             404     no such path, or no such amphora
method-not-allowed    405     the path exists, the method does not
stale-version         409     the amphora has a newer version (``current``): the sender is fenced
version-conflict      409     the amphora has this very version (``current``) with other content
bind-failed           409     a listening socket cannot be had; ``reason`` is the errno's name (EADDRINUSE, EACCES, ...)
deleted               410     the amphora was deleted on this host before
too-large             413     the body is longer than ``MAXIMUM_BODY_BYTES``
refused               422     HAProxy refuses the configuration; ``log`` has its alerts; what ran before still runs
internal              500     a defect of the agent
wire-version          503     the bundle is of another version of the wire (``sent``) than the agent's (``spoken``)
unavailable           503     the supervisor or HAProxy does not answer now: worth trying again
====================  ======  ==========================================================================================

A bundle
========

It says what each program is to run (``Programs``: a type and an entry for each; None stops it), and which sockets are
listened on for all of them. A program is handed its sockets; it opens none. An empty bundle stops everything.
Namespaces other than the host's, transports other than "tcp" and secrets have their place, and are refused by name
until they are built.

What HAProxy's names stand for is said beside them: ``listener_id`` of a frontend, ``pool_id`` of a backend,
``member_id`` of a server. Statistics say it again. So no name is ever taken apart.

What HAProxy's configuration must say
=====================================

- ``configuration`` holds defaults, frontends and backends, and no other section: ``global`` is the agent's. Each line
  is one of ``portico_wire.configuration``, in the spelling that is written there. It has the frontends and backends
  that have an entry in ``frontends`` or ``backends``, and no others; and a stick table in those backends that say
  ``sticks``, and nowhere else.
- A frontend listens by ``bind "fd@${NAME}"`` where NAME is the ``name`` of one of the bundle's sockets.
- ``defaults`` says ``load-server-state-from-file global``, so that a reload keeps what health checks have found out,
  and ``option idle-close-on-response``, so that a reload resets no idle connection.
- A backend with a stick table, which is of IPv6 addresses or of strings, uses the server that the map
  ``map_file(NAME OF THE BACKEND)`` has for a client, where it has one: so the table outlives a reload.
- A backend with ``option external-check`` is one of a PING monitor: ``external-check command`` and ``path`` say
  ``"${NAME}"`` with the names ``PING_VARIABLE`` and ``PING_PATH_VARIABLE``, a server's ``maxconn`` is the timeout in
  seconds, and the backend is not ``dynamic``. An agent that does not allow these monitors refuses the bundle (422).
- ``Server.line`` occurs in ``configuration`` as a line of its own (leading blanks aside), starts with
  ``server NAME ADDRESS:PORT``, says ``weight N``, and says ``disabled`` exactly where the state is "maint".
  It must be complete by itself: HAProxy ignores ``default-server`` for a server that is added at run time.
"""

from portico_wire.bundle import Bundle, Programs, Socket, read_bundle_version
from portico_wire.decoding import ID, WireError
from portico_wire.haproxy import Backend, Frontend, Haproxy, Server
from portico_wire.replies import AgentInfo, AmphoraList, AmphoraState, Failure, PushMethod, PushResult
from portico_wire.sessions import ServerClients, Sessions, Table, clients_of_pool, map_file
from portico_wire.statistics import ListenerStatistics, ServerStatistics, Statistics
from portico_wire.versions import WIRE_VERSION, WireVersionError

PING_VARIABLE = "PORTICO_PING"
PING_PATH_VARIABLE = "PORTICO_PING_PATH"
"""Environment variables of HAProxy that say which program PING monitors run, and its PATH."""

MAXIMUM_BODY_BYTES = 16 * 1024 * 1024
"""Longest request body: some 100,000 server lines."""

__all__ = [
    "ID",
    "MAXIMUM_BODY_BYTES",
    "PING_PATH_VARIABLE",
    "PING_VARIABLE",
    "WIRE_VERSION",
    "AgentInfo",
    "AmphoraList",
    "AmphoraState",
    "Backend",
    "Bundle",
    "Failure",
    "Frontend",
    "Haproxy",
    "ListenerStatistics",
    "Programs",
    "PushMethod",
    "PushResult",
    "Server",
    "ServerClients",
    "ServerStatistics",
    "Sessions",
    "Socket",
    "Statistics",
    "Table",
    "WireError",
    "WireVersionError",
    "clients_of_pool",
    "map_file",
    "read_bundle_version",
]
