"""Programs: the daemons that the agent runs for an amphora, each behind the protocol ``program.Program``.

Belongs here: a package for each program, which knows its files, its terms, how to change it at run time and how to
replace its process; and what all programs have in common. Does not: versions, generations, the order of a
push and how to undo it (``pusher``), the processes and sockets themselves (``supervisor``), any other program. I/O: a
generation's directory, the program's own sockets, commands to the supervisor.
"""
