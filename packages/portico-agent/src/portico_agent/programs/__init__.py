"""Programs: what the agent runs for an amphora, each behind the verbs of ``program.Program``.

Belongs here: for each program a package that knows it (its files, its words, how it is told a change and taken over
from), and what they have in common. Does not: versions, generations, the order of a push and its undoing (``pusher``),
the processes and sockets themselves (``supervisor``), any other program. I/O: a generation's directory, the program's
own sockets, commands to the supervisor.
"""
