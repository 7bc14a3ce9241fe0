"""Ports: what Portico needs from the outside, as small protocols.

Belongs here: protocols and the plain values that cross them. Does not: any I/O, any vendor's word. Every driver of a
port passes that port's one contract suite (``tests/contracts``). All methods are idempotent: they may run twice, on two
workers, after a lost reply, and the world is the same as after once. Errors are those of
``portico.errors.DriverError``.
"""
