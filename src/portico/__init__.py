"""Portico: a load-balancer-as-a-service controller.

Belongs here: the names that users of the library import. Does not: code, or I/O at import time.

    from portico import ControllerWorker     # the worker: create, update, delete, fail over
    from portico import Catalog              # describing load balancers: writing what is wanted
    from portico import open_embedded        # everything wired up on this machine, with SQLite and a local agent
"""

from portico.bootstrap import Embedded, open_embedded
from portico.settings import Settings
from portico.store.catalog import Catalog
from portico.worker import ControllerWorker

__all__ = ["Catalog", "ControllerWorker", "Embedded", "Settings", "open_embedded"]
