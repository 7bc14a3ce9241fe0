"""Drivers: the implementations of the ports, one module each, and the ``registry`` that builds those in the settings.

Belongs here: everything that talks to outside systems (agents, networks, certificate stores, processes), and the
``noop`` drivers, which behave like the others without an outside system. Does I/O. Does not belong here: the database,
flows, or decisions about a load balancer. Drivers import ports, resources, status, settings, errors and the wire, and
map every outside failure to ``portico.errors`` at the edge. Each passes its port's contract suite in
``tests/contracts``.
"""
