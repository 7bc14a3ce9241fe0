"""Claims: what somebody holds for a while, by the database's clock, and what he writes while he does.

Belongs here: the mechanism that all of them share (``statements``), leases on load balancers and amphorae, slots of
named limits, duties that one process has at a time and the loop that does them. Does not: what is done. I/O: the
database.
"""
