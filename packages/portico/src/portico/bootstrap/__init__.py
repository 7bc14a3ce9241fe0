"""Wiring: settings and drivers to workers and health managers.

Belongs here: functions that make a part out of settings, each part in a module of its own, so that a process loads only
what it runs: the API does without flows and clients of agents. Which class implements which port,
``portico.drivers.registry`` knows; no driver is named here, except by ``embedded``, which is about one. Does not:
anything that a part does once it is made. I/O: what the parts do when they are made.
"""
