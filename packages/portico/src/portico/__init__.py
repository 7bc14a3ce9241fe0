"""Portico: a load-balancer-as-a-service controller.

Belongs here: the names that users of the library import. Does not: code, or I/O at import time.

    from portico import ControllerWorker     # the worker: create, update, delete, fail over
    from portico import Catalog              # describing load balancers: writing what is wanted
    from portico import Requests             # asking without waiting
    from portico import open_embedded        # everything wired up on this machine, with SQLite and a local agent

The names are loaded when they are first asked for, so that a module below (``portico.errors``, say) can be imported
without TaskFlow and SQLAlchemy.
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from portico.bootstrap.embedded import Embedded, open_embedded
    from portico.intake.catalog import Catalog
    from portico.intake.requests import Requests
    from portico.settings import Settings
    from portico.worker import ControllerWorker

_HOMES = {
    "Catalog": "portico.intake.catalog",
    "ControllerWorker": "portico.worker",
    "Embedded": "portico.bootstrap.embedded",
    "Requests": "portico.intake.requests",
    "Settings": "portico.settings",
    "open_embedded": "portico.bootstrap.embedded",
}

# TaskFlow tries whether eventlet is there, which oslo.messaging brings along. Nothing here uses it, and its complaint
# about itself would be the first thing that everybody reads.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated", category=Warning)

__all__ = ["Catalog", "ControllerWorker", "Embedded", "Requests", "Settings", "open_embedded"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'portico' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
