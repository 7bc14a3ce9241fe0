"""What can go wrong with a request, as the one table that the HTTP side looks codes up in.

AgentFailure
├── Invalid, OtherWireVersion, Forbidden, NotFound, MethodNotAllowed, TooLarge      the request
├── StaleVersion, VersionConflict, Deleted                        an old writer
├── BindFailed, Refused                                           the configuration
└── Unavailable                                                   the supervisor or HAProxy, for now
"""

from __future__ import annotations

from typing import ClassVar

from portico_wire import Failure


class AgentFailure(Exception):
    """A request that is answered by an error. ``details`` are fields of the answer."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"

    def __init__(self, error: str, **details: object) -> None:
        super().__init__(error)
        self.details = details

    def to_failure(self) -> Failure:
        """Say it in the wire's words."""
        return Failure(self.code, str(self), self.details)


class Invalid(AgentFailure):
    """The request breaks a rule of the wire."""

    status, code = 400, "invalid"


class OtherWireVersion(AgentFailure):
    """The bundle is of another version of the wire. Worth trying again: whichever is older will be upgraded. The status
    says so, also to a controller that does not know the code yet."""

    status, code = 503, "wire-version"


class Forbidden(AgentFailure):
    """The client is not the controller."""

    status, code = 403, "forbidden"


class NotFound(AgentFailure):
    """No such path or amphora."""

    status, code = 404, "not-found"


class MethodNotAllowed(AgentFailure):
    """The path does not have this method."""

    status, code = 405, "method-not-allowed"


class StaleVersion(AgentFailure):
    """The amphora has a newer version."""

    status, code = 409, "stale-version"


class VersionConflict(AgentFailure):
    """The amphora has this version with other content."""

    status, code = 409, "version-conflict"


class BindFailed(AgentFailure):
    """A listening socket cannot be had."""

    status, code = 409, "bind-failed"


class Deleted(AgentFailure):
    """The amphora was deleted here."""

    status, code = 410, "deleted"


class TooLarge(AgentFailure):
    """The body is too long."""

    status, code = 413, "too-large"


class Refused(AgentFailure):
    """HAProxy refuses the configuration, or this host does."""

    status, code = 422, "refused"


class Unavailable(AgentFailure):
    """Worth trying again."""

    status, code = 503, "unavailable"
