"""Ports: what Portico needs from the outside, as small protocols.

Belongs here: protocols and the plain values that cross them. Does not: any I/O, any vendor's terms. Every driver of a
port passes the one contract suite of that port (``tests/contracts``). All methods are idempotent: a call can be
repeated, after a lost reply or by a second worker, and the result is the same as after one call. Failures of the
outside system are raised as ``portico.errors.DriverError`` or one of its subclasses.
"""
