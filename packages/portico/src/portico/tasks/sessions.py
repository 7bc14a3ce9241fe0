"""Tasks for sessions: an amphora that replaces another one sends clients to the same servers as before."""

from __future__ import annotations

import structlog

from portico.errors import DriverError
from portico.resources import Amphora
from portico.resources.pool import PersistenceType
from portico.tasks.work import Work, WorkTask

log = structlog.get_logger()
_REMEMBERED = (PersistenceType.SOURCE_IP, PersistenceType.APP_COOKIE)
"""The types for which amphorae remember sessions; with HTTP_COOKIE, the client's cookie contains everything."""


def carry_sessions(work: Work, replaced: Amphora, subject: str) -> tuple[list[WorkTask], list[WorkTask]]:
    """The tasks before and after the first push of an amphora that replaces another one: none if no pool remembers
    sessions."""
    if not replaced.agent_url or not any(pool.persistence_type in _REMEMBERED for pool in work.tree.pools):
        return [], []
    carry = CarrySessions(work, replaced, subject)
    return [carry], [CarryLaterSessions(work, carry, subject)]


class CarrySessions(WorkTask):
    """Ensures that the replacement knows the sessions of the amphora that it replaces when it begins to serve.

    A failure here does not fail the flow: often the old amphora is broken, and then its clients get other servers. The
    old amphora is asked once, without retries.
    """

    def __init__(self, work: Work, replaced: Amphora, subject: str | None = None) -> None:
        super().__init__(work, subject)
        self._replaced = replaced
        self._is_lost = False

    def execute(self, amphora_id: str) -> None:
        """Carry the sessions from the old amphora to its replacement."""
        self.carry_to(amphora_id)

    def carry_to(self, amphora_id: str) -> None:
        """Carry the sessions that the old amphora has now; do nothing if it did not answer before."""
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
            log.warning("sessions could not be carried", amphora=replaced, replacement=amphora_id, reason=str(error))


class CarryLaterSessions(WorkTask):
    """Ensures that the replacement, which serves by now, also knows the sessions that began on the old amphora in the
    meantime."""

    def __init__(self, work: Work, carry: CarrySessions, subject: str | None = None) -> None:
        super().__init__(work, subject)
        self._carry = carry

    def execute(self, amphora_id: str) -> None:
        """Carry the sessions once more."""
        self._carry.carry_to(amphora_id)
