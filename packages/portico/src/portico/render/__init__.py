"""Rendering: from the tree of one load balancer to the bundle that its amphorae run.

Belongs here: what each field of a resource means in HAProxy's words (``frontend``, ``l7``, ``backend``, ``monitor``,
``ping``), the small typed model of HAProxy's language (``model``), and their assembly (``bundle``). Does not: I/O of
any kind, the database, drivers, HAProxy's ``global`` section (the agent's, it knows the host), and rules that a spec
already checks.

No string of a tenant becomes text except through ``model.write``, which quotes or refuses it.
"""

from portico.render.bundle import render

__all__ = ["render"]
