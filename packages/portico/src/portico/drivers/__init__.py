"""Drivers: the ports' implementations, one module each, and the ``registry`` that builds what the settings name.

Belongs here: whatever talks to the outside (agents, networks, certificate stores, processes), and the ``noop`` drivers
that behave like the others without an outside. Does I/O. Does not belong here: the database, flows, or a decision
about a load balancer. Drivers import ports, resources, status, settings, errors and the wire, and map whatever goes
wrong outside to ``portico.errors`` at the edge. Each passes its port's contract suite in ``tests/contracts``.
"""
