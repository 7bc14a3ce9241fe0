"""Acceptance: one transaction that changes rows and writes the durable intent, or does neither.

``accept`` and ``accept_in`` accept a request about an object of any kind. ``accept_new`` accepts the create of an
object that the same transaction has just written. The objects that users describe (``objects``) and amphorae
(``amphorae``) have rules of their own.
Belongs here: whether an object in its current state permits a request, its next status, the operation. Does not: what
a description may contain (``portico.resources``), constraints between objects (``portico.intake.constraints``). I/O:
the database.
"""

from portico.intake.acceptance.accepting import accept, accept_in, accept_new, transact_unmoved
from portico.intake.acceptance.amphorae import accept_spare
from portico.intake.acceptance.request import Moved, Receipt, Request

__all__ = ["Moved", "Receipt", "Request", "accept", "accept_in", "accept_new", "accept_spare", "transact_unmoved"]
