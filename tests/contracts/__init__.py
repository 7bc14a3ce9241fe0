"""Contracts: for each port, one suite of behaviour that every driver inherits.

Belongs here: ``<Port>Contract`` classes, a subclass of a few lines per driver, and what is special about one driver's
environment (TLS, files, processes). An implementation opts out of a behaviour only by a feature that it declares.
Drivers that need an external system get the real one: an agent process with HAProxy, on loopback addresses, which is
gone afterwards.
"""
