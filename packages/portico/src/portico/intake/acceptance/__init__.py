"""Acceptance: one transaction in which rows change and the durable intent is written, or neither.

``accept`` and ``accept_in`` are for whatever a request is about, ``accept_new`` for what its transaction has just
written; what users describe (``objects``) and amphorae
(``amphorae``) are accepted by rules of their own.
Belongs here: what may be asked of an object as it is, its status, the operation. Does not: what a description may say
(``portico.resources``), constraints between objects (``portico.intake.constraints``). I/O: the database.
"""

from portico.intake.acceptance.accepting import accept, accept_in, accept_new, transact_unmoved
from portico.intake.acceptance.amphorae import accept_spare
from portico.intake.acceptance.request import Moved, Receipt, Request

__all__ = ["Moved", "Receipt", "Request", "accept", "accept_in", "accept_new", "accept_spare", "transact_unmoved"]
