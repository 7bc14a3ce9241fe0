"""Rendering: from the tree of one load balancer to the bundle that its amphorae run.

Belongs here: how each field of a resource is written in HAProxy's configuration (``frontend``, ``l7``, ``backend``,
``monitor``, ``ping``), the small typed model of that language (``model``), and the assembly of it all (``bundle``).
Does not: I/O of any kind, the database, drivers, rules that a spec already checks, and HAProxy's ``global`` section,
which the agent writes because it knows the host.

A tenant's string becomes text only through ``model.write``, which quotes or refuses it.
"""

from portico.render.bundle import render

__all__ = ["render"]
