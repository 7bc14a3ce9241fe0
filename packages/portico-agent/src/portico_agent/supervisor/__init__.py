"""The supervisor: holds the listening sockets of a host and is the parent of its HAProxy processes and other programs.

Belongs here: what must not be restarted when everything else is. Does not: anything that understands a
configuration. The supervisor is a separate process. The agent starts it and it outlives the agent, or it is a service
beside the agent. It imports only the standard library, so that little in it can go wrong or need an update. I/O:
processes, listening sockets, one UNIX socket.

It answers JSON lines on ``supervisor.sock``. Commands (``{"command": ..., "amphora": ID, "program": NAME, ...}``; an
*instance* is a program of an amphora):

    list                                  describe every instance
    show                                  describe one instance
    start generation directory command_line sockets unix_sockets
                                          open the sockets and start the candidate, a process beside the one that runs
    promote                               the candidate becomes the one that runs; the former one is stopped softly
    abandon                               kill the candidate, which does not answer
    adopt-files generation directory command_line sockets unix_sockets
                                          restart from these files from now on; the running process has been told
    stop                                  stop softly, restart no more
    kill                                  end every process of the instance immediately
    stop-orphan note                      softly stop a process that a former supervisor started and noted

All instances that name the same address and port share a socket; it is closed when no instance names it any longer. A
program that dies is restarted immediately on the same sockets, with a growing pause if it keeps dying. The supervisor
also creates the UNIX sockets that a program needs (HAProxy's stats socket), which the program inherits, and
``PROGRAM.log`` and ``PROGRAM.pid``. So a program that runs as another user need not write anything. Without instances
and without an agent the supervisor ends on its own, unless it is a service. SIGTERM immediately ends it and every
program. SIGINT ends only the supervisor, and its programs serve until the next one has them replaced. Its pid is in
``supervisor.lock``.
"""
