"""What tests and benchmarks stand on: real database servers, and the certainty that nothing is left running.

Belongs here: starting, stopping and clearing up outside programs. Does not: fakes of Portico's ports (they ship as
no-op drivers), or anything about load balancers. Starts processes and writes to private temporary directories.
"""
