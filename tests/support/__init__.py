"""What tests and benchmarks stand on, once for all of them.

Belongs here: real servers and programs, started and cleared up for certain; a world of one database, no-op drivers and
workers (``world``); HTTP servers behind load balancers (``origins``); waiting (``waiting``); what objects of each kind
are like (``examples``). Does not: fakes of Portico's ports (they ship as no-op drivers), or what one folder of tests
alone needs. Starts processes and writes to private temporary directories.
"""
