"""The agent: one small process per host that runs amphorae for the controller, and the supervisor that outlives it.

Belongs here: the HTTP API over mutual TLS, HAProxy's configuration on disk and in its process, and the supervisor that
holds the listening sockets. Does not: anything of the controller (of Portico, the agent imports only
``portico_wire``, ``portico_http`` and ``portico_files``), or any decision about what a load balancer should be. It is
all I/O. Besides the standard library it needs only h11.

For each amphora the agent runs *programs* (``programs``; today HAProxy). Each is one instance in the supervisor.

Two processes::

    controller -- mutual TLS --> agent (asyncio, h11) -- UNIX socket --> supervisor -- parent of --> HAProxy, one per
                                   |                                       |                          amphora
                                   +--- files, runtime API ----------------|------------------------> (stats socket)
                                                                           +--- holds the listening sockets

The agent can be killed and started again at any moment: the supervisor and every HAProxy keep running, and the new
agent adopts them. If HAProxy is killed, the supervisor restarts it on the same sockets, and connections wait in their
backlog until then.

Where HAProxy runs as another user (``--haproxy-group``), the supervisor is a separate service (``portico-supervisor``)
and the only process with the capabilities that this needs. The agent has none; it makes the files that HAProxy is
started from readable to HAProxy's group. Elsewhere all three processes run as one user, and the agent starts the
supervisor.

PING monitors need a program (``ping-check``), which HAProxy starts only if the agent has ``--allow-ping``.

The agent's directory has mode 0700 and its files 0600. Entries marked g are readable to HAProxy's group (files 0640,
directories 0750). The group can pass through the directories above them (0710) but cannot list them::

    agent.json  agent.lock  supervisor.sock  supervisor.lock  supervisor.log
    tombstones/ID                        this amphora was deleted here and must not come back
    amphorae/ID/current -> gen-N         the generation that runs, and that a dead HAProxy is restarted from
    amphorae/ID/pushing                  a push is in progress; if it is found later, the last good configuration is
                                         restored
    amphorae/ID/sessions.json            sessions of the amphora that this one replaces, until HAProxy is started
    amphorae/ID/gen-N/                g  bundle.json launch.json haproxy.sock PROGRAM.log PROGRAM.pid
                                      g  global.cfg haproxy.cfg server-state *.map

An earlier agent may have left a bundle of another version of the wire, which this agent does not understand. The
programs of such a generation keep running, or are started again in the same way as that agent did it: launch.json
records how (for generations of version 1, ``programs.haproxy.wire_v1`` knows). Pushes of older versions are refused as
usual, and the next push takes over.
"""

__version__ = "0.1.0"
