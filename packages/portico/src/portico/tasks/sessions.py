"""Sessions: an amphora that replaces another one sends clients to the servers that they had."""

from __future__ import annotations

import structlog

from portico.errors import DriverError
from portico.resources import Amphora
from portico.resources.pool import PersistenceType
from portico.tasks.work import Work, WorkTask

log = structlog.get_logger()
_REMEMBERED = (PersistenceType.SOURCE_IP, PersistenceType.APP_COOKIE)
"""What amphorae remember; the cookie of HTTP_COOKIE says it all by itself."""


def carry_sessions(work: Work, replaced: Amphora, subject: str) -> tuple[list[WorkTask], list[WorkTask]]:
    """The tasks around the first push of an amphora that replaces another one: none where nothing is remembered."""
    if not replaced.agent_url or not any(pool.persistence_type in _REMEMBERED for pool in work.tree.pools):
        return [], []
    carry = CarrySessions(work, replaced, subject)
    return [carry], [CarryLaterSessions(work, carry, subject)]


class CarrySessions(WorkTask):
    """The replacement will know the clients of the amphora that it replaces when it begins to serve.

    It is not worth failing for: often the old one is broken, and then its clients are moved. Asked once, not again.
    """

    def __init__(self, work: Work, replaced: Amphora, subject: str | None = None) -> None:
        super().__init__(work, subject)
        self._replaced = replaced
        self._is_lost = False

    def execute(self, amphora_id: str) -> None:
        """From the one to the other."""
        self.carry_to(amphora_id)

    def carry_to(self, amphora_id: str) -> None:
        """What the old one knows now; nothing where it did not answer before."""
        if self._is_lost:
            return
        work, amphorae = self.work, self.work.services.amphorae
        [replacement] = [amphora for amphora in work.stored.amphorae if amphora.id == amphora_id]
        work.check()
        try:
            sessions = amphorae.sessions(work.endpoint_of(self._replaced))
            amphorae.give_sessions(work.endpoint_of(replacement), sessions)
        except DriverError as error:
            self._is_lost = True
            replaced = self._replaced.id
            log.warning("sessions are lost", amphora=replaced, replacement=amphora_id, reason=str(error))


class CarryLaterSessions(WorkTask):
    """The replacement, which serves, knows also those who came to the old one meanwhile."""

    def __init__(self, work: Work, carry: CarrySessions, subject: str | None = None) -> None:
        super().__init__(work, subject)
        self._carry = carry

    def execute(self, amphora_id: str) -> None:
        """From the one to the other, once more."""
        self._carry.carry_to(amphora_id)
