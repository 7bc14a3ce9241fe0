"""Portico: a load-balancer-as-a-service controller.

Belongs here: the names that users of the library import. Does not: code, or I/O at import time.

    from portico import ControllerWorker     # the worker: creates, updates, deletes and fails over
    from portico import Catalog              # describes load balancers: writes the rows of new objects
    from portico import Requests             # requests changes without waiting for them
    from portico import open_embedded        # everything wired up on this machine, with SQLite and a local agent

Each name is loaded when it is first used, so that a submodule (``portico.errors``, for example) can be imported
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

_MODULES = {
    "Catalog": "portico.intake.catalog",
    "ControllerWorker": "portico.worker",
    "Embedded": "portico.bootstrap.embedded",
    "Requests": "portico.intake.requests",
    "Settings": "portico.settings",
    "open_embedded": "portico.bootstrap.embedded",
}

# TaskFlow tries to import eventlet, which oslo.messaging can install. Nothing here uses it, and its deprecation warning
# would be the first thing that every user reads.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated", category=Warning)

__all__ = ["Catalog", "ControllerWorker", "Embedded", "Requests", "Settings", "open_embedded"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'portico' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
