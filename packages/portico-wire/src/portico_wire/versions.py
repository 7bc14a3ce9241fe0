"""The version of the wire, and the refusal of any other."""

from __future__ import annotations

from portico_wire.decoding import WireError

WIRE_VERSION = 2
"""What this code speaks. It rises with each change that the other side would not understand; 1 did not say it."""

MAXIMUM_VERSION = 2**63 - 1


class WireVersionError(WireError):
    """The message is of another version of the wire, so that nothing else in it is looked at.

    Attributes:
        spoken: the version that is understood here.
        sent: the version of the message.
    """

    def __init__(self, sent: int) -> None:
        super().__init__("wire", f"{WIRE_VERSION}, the version of the wire that is spoken here, and not {sent}")
        self.spoken = WIRE_VERSION
        self.sent = sent


def require_wire_version(value: object) -> None:
    """A message says that it is of this version of the wire. Raises WireVersionError, or WireError where it is no
    message or says nothing that is a version."""
    if not isinstance(value, dict):
        raise WireError("", "an object")
    sent = value.get("wire", 1)
    if not isinstance(sent, int) or isinstance(sent, bool) or not 1 <= sent <= MAXIMUM_VERSION:
        raise WireError("wire", f"a whole number from 1 to {MAXIMUM_VERSION}")
    if sent != WIRE_VERSION:
        raise WireVersionError(sent)
