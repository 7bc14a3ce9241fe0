"""Claims: what somebody holds for a while, by the database's clock, and what he writes while he does.

Belongs here: leases on load balancers and amphorae, slots of named limits, duties that one process has at a time.
Does not: what is done with them. I/O: the database.
"""
