"""Contracts: for each port one suite of behaviour that every driver of it inherits.

Belongs here: ``<Port>Contract`` classes, a subclass of a few lines per driver, and what is special to one driver's
outside (TLS, files, processes). An implementation opts out of a behaviour only by a feature that it declares. Drivers
that need an outside get the real one: an agent process with HAProxy, on loopback addresses, gone afterwards.
"""
