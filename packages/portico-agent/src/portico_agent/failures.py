"""The errors that a request can end with, each with its HTTP status and its code in the answer.

AgentFailure
├── Invalid, OtherWireVersion, Forbidden, NotFound, MethodNotAllowed, TooLarge    the request is at fault
├── StaleVersion, VersionConflict, Deleted                                        the sender is out of date
├── BindFailed, Refused                                                           the configuration is at fault
└── Unavailable                                    the supervisor or HAProxy does not answer at the moment
"""

from __future__ import annotations

from typing import ClassVar

from portico_wire import Failure


class AgentFailure(Exception):
    """A request is answered with an error. ``details`` are further fields of the answer."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"

    def __init__(self, error: str, **details: object) -> None:
        super().__init__(error)
        self.details = details

    def to_failure(self) -> Failure:
        """Convert to the message that is sent over the wire."""
        return Failure(self.code, str(self), self.details)


class Invalid(AgentFailure):
    """The request breaks a rule of the wire."""

    status, code = 400, "invalid"


class OtherWireVersion(AgentFailure):
    """The bundle is of another version of the wire. Worth retrying, because the older of the two programs will be
    upgraded. The status tells that even to a controller that does not know the code yet."""

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
    """A listening socket cannot be opened."""

    status, code = 409, "bind-failed"


class Deleted(AgentFailure):
    """The amphora was deleted here."""

    status, code = 410, "deleted"


class TooLarge(AgentFailure):
    """The body is too long."""

    status, code = 413, "too-large"


class Refused(AgentFailure):
    """HAProxy or this host refuses the configuration."""

    status, code = 422, "refused"


class Unavailable(AgentFailure):
    """The request cannot be served at the moment; worth retrying."""

    status, code = 503, "unavailable"
