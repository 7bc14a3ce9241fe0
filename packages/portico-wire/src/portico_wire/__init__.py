"""The protocol between the controller and the agent, and nothing else.

Belongs here: the messages as frozen values, their encoding and strict decoding, the names and paths of the protocol.
Does not: any I/O, any decision, any import beyond the standard library. Both sides import this package;
neither imports the other.

The protocol
============

HTTP/1.1 with JSON over mutual TLS 1.3. The agent admits only clients whose certificate is signed by the configured CA
*and* issued to the controller's name (subject CN or DNS name). A body has at most ``MAXIMUM_BODY_BYTES``.

Two programs understand each other if they speak the same ``WIRE_VERSION``, which ``AgentInfo`` and ``Bundle`` contain.
It is checked before everything else, so that no program guesses what a message of another version means. Version 1 did
not send its version, and had no refusal for messages of another version. So a controller that is answered "invalid", or
that does not understand an answer, asks for ``AgentInfo`` before it acts on the answer.

======  ================================  ==============================================================================
GET     /v1/info                          200 ``AgentInfo``
GET     /v1/amphorae                      200 ``AmphoraList``
GET     /v1/amphorae/{id}                 200 ``AmphoraState``; 404
PUT     /v1/amphorae/{id}                 200 ``AmphoraState``: ensures that it exists; 410 if it was deleted before
DELETE  /v1/amphorae/{id}?drain=SECONDS   204, also if it does not exist; answered once the amphora is gone, so wait
                                          longer than ``drain``. The id can never be used again on this host (410)
PUT     /v1/amphorae/{id}/configuration   ``Bundle`` -> 200 ``PushResult``; 404, 409, 422
GET     /v1/amphorae/{id}/stats           200 ``Statistics``; 404
GET     /v1/amphorae/{id}/sessions        200 ``Sessions``; 404
PUT     /v1/amphorae/{id}/sessions        ``Sessions`` of the amphora that this one replaces -> 204; 404. Kept until
                                          HAProxy is started; if it runs, it is told the clients that it does not know
======  ================================  ==============================================================================

Every other answer is a ``Failure``: ``{"code", "error", ...}`` with one of these codes:

====================  ======  ==========================================================================================
invalid               400     the request or a field of it (``field``) breaks a rule
forbidden             403     the certificate is not issued to the controller
not-found             404     no such path, or no such amphora
method-not-allowed    405     the path exists, the method does not
stale-version         409     the amphora has a newer version (``current``): the sender is fenced
version-conflict      409     the amphora has exactly this version (``current``) with other content
bind-failed           409     a listening socket cannot be opened; ``reason`` is the errno's name (EADDRINUSE, ...)
deleted               410     the amphora was deleted on this host before
too-large             413     the body is longer than ``MAXIMUM_BODY_BYTES``
refused               422     HAProxy refuses the configuration; ``log`` has its alerts; what ran before still runs
internal              500     a defect in the agent
wire-version          503     the bundle is of another version of the wire (``sent``) than the agent's (``spoken``)
unavailable           503     the supervisor or HAProxy does not answer at the moment: worth retrying
====================  ======  ==========================================================================================

A bundle
========

A bundle contains what each program should run (``Programs``: a type and an entry for each; None stops it), and the
sockets to listen on for all of them. Programs inherit their sockets and open none themselves. An empty bundle stops
everything. The bundle already has fields for network namespaces other than the host's, for transports other than "tcp"
and for secrets; until they are built, their values are refused with the name of the field.

The meaning of HAProxy's names is sent beside them: ``listener_id`` of a frontend, ``pool_id`` of a backend,
``member_id`` of a server. Statistics repeat these ids. So no program ever has to take a name apart.

Requirements on HAProxy's configuration
=======================================

- ``configuration`` contains defaults, frontends and backends, and no other section: ``global`` is the agent's. Each
  line is one of those in ``portico_wire.configuration``, in exactly that spelling. It has exactly the frontends and
  backends with an entry in ``frontends`` or ``backends``. Exactly the backends with ``sticks`` have a stick table.
- A frontend listens by ``bind "fd@${NAME}"``, where NAME is the ``name`` of one of the bundle's sockets.
- ``defaults`` has ``load-server-state-from-file global``, so that a reload keeps the results of health checks, and
  ``option idle-close-on-response``, so that a reload resets no idle connection.
- A backend with a stick table (of IPv6 addresses or of strings) uses the server that the map
  ``map_file(NAME OF THE BACKEND)`` has for a client, if there is one. That is how the table outlives a reload.
- A backend with ``option external-check`` belongs to a PING monitor. Its ``external-check command`` and ``path`` are
  ``"${NAME}"``, with the names ``PING_VARIABLE`` and ``PING_PATH_VARIABLE``. A server's ``maxconn`` is the timeout in
  seconds, and the backend is not ``dynamic``. An agent that does not allow these monitors refuses the bundle (422).
- ``Server.line`` occurs in ``configuration`` as a separate line (leading blanks aside). It starts with
  ``server NAME ADDRESS:PORT``, has ``weight N``, and has ``disabled`` exactly if the state is "maint". It must not
  depend on ``default-server``, which HAProxy ignores for a server that is added at run time.
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
"""Environment variables of HAProxy: the program that PING monitors run, and that program's PATH."""

MAXIMUM_BODY_BYTES = 16 * 1024 * 1024
"""Longest request body: enough for about 100,000 server lines."""

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
