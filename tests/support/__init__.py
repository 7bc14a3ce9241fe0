"""The common basis of tests and benchmarks.

Belongs here: real servers and programs, which are reliably started and cleaned up; a world of one database, no-op
drivers and workers (``world``); HTTP servers behind load balancers (``origins``); waiting (``waiting``); examples of
each kind of object (``examples``). Does not: fakes of Portico's ports (they ship as no-op drivers), or what only one
directory of tests needs. Starts processes and writes to private temporary directories.
"""
