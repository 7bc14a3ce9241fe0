"""The supervisor: holds the listening sockets of a host and is the parent of its HAProxy processes and other programs.

Belongs here: what must not be restarted when everything else is. Does not: anything that knows what a configuration
says. It is a program of its own, started by the agent and outliving it, or a service beside it, and imports only the
standard library, so that there is little in it that could go wrong or need an update. I/O: processes, listening
sockets, one UNIX socket.

It answers JSON lines on ``supervisor.sock``. Commands (``{"command": ..., "amphora": ID, "program": NAME, ...}``; an
*instance* is a program of an amphora):

    list                                  every instance as it is
    show                                  one instance as it is
    start generation directory command_line sockets unix_sockets
                                          open the sockets, start a process beside the one that runs: the candidate
    promote                               the candidate becomes the one that runs; the former is stopped softly
    abandon                               kill the candidate, which does not answer
    adopt-files generation directory command_line sockets unix_sockets
                                          start from these from now on; what runs has been told already
    stop                                  stop softly, start no more
    kill                                  end every process of the instance at once
    stop-orphan note                      stop softly what a former supervisor has started and noted

A socket is shared by every instance that names its address and port, and closed when none does any more. A program that
dies is started again at once on the same sockets, with a growing pause where it keeps dying. The UNIX sockets that it
is to have (HAProxy's stats socket) are made here, too, and inherited, and so are ``PROGRAM.log`` and ``PROGRAM.pid``:
it need not write anything where it is another user's. Without instances and without an agent the supervisor ends by
itself, unless it is a service. SIGTERM ends it and every program at once; SIGINT ends it alone, and its programs serve
until the next one has them replaced. Its pid is in ``supervisor.lock``.
"""
