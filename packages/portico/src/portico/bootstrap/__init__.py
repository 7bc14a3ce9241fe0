"""Wiring: builds workers and health managers from settings and drivers.

Belongs here: functions that build a part from settings. Each part has a module of its own, so that a process loads only
what it runs: the API needs neither flows nor clients of agents. ``portico.drivers.registry`` decides which class
implements which port; no driver is named here, except in ``embedded``, which is about one. Does not: anything that a
part does once it is built. I/O: what the parts do while they are built.
"""
