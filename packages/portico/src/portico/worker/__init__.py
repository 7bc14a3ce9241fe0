"""The controller worker: accepting operations, taking leases, running flows, recording results.

Belongs here: the worker's contract (``controller_worker``), the one path that every operation takes
(``operation_runner``), the engines (``flow_engine``), the renewal of leases, the run loop of ``portico worker``.
Does not: steps (``portico.tasks``), statements (``portico.store``), or I/O other than through them.
"""

from portico.worker.controller_worker import ControllerWorker

__all__ = ["ControllerWorker"]
