"""The version of the wire, and the refusal of other versions."""

from __future__ import annotations

from portico_wire.decoding import WireError

WIRE_VERSION = 2
"""The version that this code speaks. It rises with each change that the other side would not understand. Version 1 did
not send it."""

MAXIMUM_VERSION = 2**63 - 1


class WireVersionError(WireError):
    """The message is of another version of the wire, so nothing else in it is read.

    Attributes:
        spoken: the version that this code speaks.
        sent: the version of the message.
    """

    def __init__(self, sent: int) -> None:
        super().__init__("wire", f"{WIRE_VERSION}, the version of the wire that this program speaks, and not {sent}")
        self.spoken = WIRE_VERSION
        self.sent = sent


def require_wire_version(value: object) -> None:
    """Require that a message is of this version of the wire. Raises WireVersionError, or WireError if it is not a
    message or its version is not a valid one."""
    if not isinstance(value, dict):
        raise WireError("", "an object")
    sent = value.get("wire", 1)
    if not isinstance(sent, int) or isinstance(sent, bool) or not 1 <= sent <= MAXIMUM_VERSION:
        raise WireError("wire", f"a whole number from 1 to {MAXIMUM_VERSION}")
    if sent != WIRE_VERSION:
        raise WireVersionError(sent)
