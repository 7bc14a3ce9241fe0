"""The agent: one small process per host that runs amphorae for the controller, and the supervisor that outlives it.

Belongs here: the HTTP API over mutual TLS, the configuration of HAProxy on disk and in its process, the supervisor that
holds the listening sockets. Does not: anything of the controller (of Portico it imports only ``portico_wire``,
``portico_http`` and ``portico_files``), any decision about what a load balancer should be. It is all I/O. Besides the
standard library it needs only h11.

What it runs for an amphora are *programs* (``programs``; today HAProxy), each an instance of the supervisor's.

Two processes::

    controller -- mutual TLS --> agent (asyncio, h11) -- UNIX socket --> supervisor -- parent of --> HAProxy, one per
                                   |                                       |                          amphora
                                   +--- files, runtime API ----------------|------------------------> (stats socket)
                                                                           +--- holds the listening sockets

The agent may be killed and started again at any moment: the supervisor and every HAProxy stay, and it adopts them.
HAProxy may be killed: the supervisor starts it again on the same sockets, where connections wait meanwhile.

Where HAProxy is another user's (``--haproxy-group``), the supervisor is a service of its own (``portico-supervisor``),
the one process with the capabilities that this takes; the agent has none and opens to HAProxy's group what HAProxy is
started with. Elsewhere all three are one user, and the agent starts the supervisor.

PING monitors need a program (``ping-check``), which HAProxy starts only where the agent has ``--allow-ping``.

The directory of an agent; 0700, files 0600. What HAProxy's group may read has a g (0640, directories 0750); it may go
through the directories above (0710) and see nothing there::

    agent.json  agent.lock  supervisor.sock  supervisor.lock  supervisor.log
    tombstones/ID                        this amphora was deleted here and must not come back
    amphorae/ID/current -> gen-N         what runs, and what a dead HAProxy is started from
    amphorae/ID/pushing                  a push is going on; found later, the last good configuration is restored
    amphorae/ID/sessions.json            of the amphora that this one replaces, until HAProxy is started
    amphorae/ID/gen-N/                g  bundle.json launch.json haproxy.sock PROGRAM.log PROGRAM.pid
                                      g  global.cfg haproxy.cfg server-state *.map

A bundle of another version of the wire, which an agent before this one has left, is not understood. What it describes
goes on all the same, or is started again as that agent did it: launch.json says how (for what version 1 has left,
``programs.haproxy.wire_v1`` does). What is older is refused as ever, and the next push takes over.
"""

__version__ = "0.1.0"
