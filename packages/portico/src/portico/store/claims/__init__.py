"""Claims: exclusive use of something for a limited time, by the database's clock, and writes fenced by it.

Belongs here: the mechanism that all claims share (``statements``), leases on load balancers and amphorae, slots of
named limits, duties that one process has at a time and the loop that performs them. Does not: the work that is done
under a claim. I/O: the database.
"""
