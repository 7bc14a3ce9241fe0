"""Every error that Portico raises, as one tree.

::

    PorticoError
    ├── InvalidInput                 bad input: names the field and the rule; nothing was changed
    │   └── NotSupported             valid in the API, not built or not allowed here
    ├── InvalidSettings              settings that are unknown or wrong: names each, and where it was set
    ├── MissingExtra                 a setting needs packages that are not installed: names the extra that has them
    ├── NotFound                     no object has this id
    │   ├── AmphoraNotFound  LBNotFound  ListenerNotFound  PoolNotFound
    │   ├── HMNotFound  MemberNotFound  L7PolicyNotFound  L7RuleNotFound
    │   └── FlavorNotFound  FlavorProfileNotFound  AvailabilityZoneNotFound  AvailabilityZoneProfileNotFound
    ├── Unsuitable                   nothing can carry the object: what it should be built on is missing or unfit
    │   └── NoSuitableAmphora  NoSuitableLB  NoSuitablePool
    ├── Unauthenticated              the caller is not known
    ├── Forbidden                    the caller may not do this
    │   └── QuotaExceeded            the project has reached its quota
    ├── Conflict                     the object's present state forbids the request
    │   └── IllegalTransition  AmphoraInUse  Duplicate
    ├── OperationFailed              an operation that another worker ran ended in FAILED
    ├── Closed                       the object was closed, or belongs to the process that this one was forked from
    ├── LeaseLost                    another worker took over; this one must not write anything more
    ├── StoreError
    │   └── StoreUnavailable         (transient) the database does not answer
    └── DriverError                  an outside system failed or refused
        ├── DriverUnavailable        (transient) it could not be reached, or was too slow
        │   └── WireVersionMismatch  the agent speaks another version of the wire: one of the two must be upgraded
        ├── ConfigurationRefused     the daemon refused the configuration; the old one still runs
        ├── StaleVersion             the agent has a newer configuration: this writer is fenced
        ├── AddressInUse             an address or a port is taken
        ├── AmphoraGone              the amphora was deleted on its host and never comes back
        └── NoCapacity               there is no room for another amphora

``transient`` is part of the type: a call that failed with a transient error is worth retrying, any other is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class PorticoError(Exception):
    """Root of the tree. ``str(error)`` can be shown to a user: it never contains key material.

    Attributes:
        transient: what failed is worth retrying.
        made_of_message: the type can be constructed from its message alone, so that another process, which has only the
            type's name and the message, can raise the error again.
    """

    transient = False
    made_of_message = True


class InvalidInput(PorticoError, ValueError):
    """A value breaks a rule.

    Attributes:
        field: the name of the argument or attribute, as the caller wrote it.
        rule: what the value should have been.
    """

    made_of_message = False

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule

    def __reduce__(self) -> tuple[type[InvalidInput], tuple[str, str]]:
        return type(self), (self.field, self.rule)


class NotSupported(InvalidInput):
    """The value is valid in the API, but this deployment does not support it (not built, or switched off)."""


@dataclass(frozen=True, slots=True)
class SettingFault:
    """A setting that is unknown or wrong.

    Attributes:
        place: where it was set (a file and line, the environment); empty for an argument of the program.
        setting: its name as it is written there: ``worker.threads``, or a variable; empty for all settings together.
        rule: what it should have been. Never the value, which can be a password.
    """

    place: str
    setting: str
    rule: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.setting, self.rule) if part)


class InvalidSettings(PorticoError, ValueError):
    """Settings break a rule. ``faults`` lists every fault that was found."""

    made_of_message = False

    def __init__(self, faults: Sequence[SettingFault]) -> None:
        super().__init__(tuple(faults))
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return "; ".join(map(str, self.faults))


class MissingExtra(PorticoError, ImportError):
    """A setting needs packages that are not installed.

    Attributes:
        setting: the setting, as in ``messaging.url``.
        extra: the extra of the distribution ``portico`` that installs them.
    """

    made_of_message = False

    def __init__(self, setting: str, extra: str, module: str | None) -> None:
        missing = f"the module {module} is missing" if module else "its packages are missing"
        super().__init__(f"{setting}: {missing}; install the extra {extra}: pip install 'portico[{extra}]'")
        self.setting = setting
        self.extra = extra


class NotFound(PorticoError, LookupError):
    """No object has this id. ``object_id`` is the id that the caller gave."""

    kind = "object"
    made_of_message = False

    def __init__(self, object_id: str) -> None:
        super().__init__(f"{self.kind} {object_id} not found")
        self.object_id = object_id


class AmphoraNotFound(NotFound):
    """No amphora has this id."""

    kind = "amphora"


class LBNotFound(NotFound):
    """No load balancer has this id."""

    kind = "load balancer"


class ListenerNotFound(NotFound):
    """No listener has this id."""

    kind = "listener"


class PoolNotFound(NotFound):
    """No pool has this id."""

    kind = "pool"


class HMNotFound(NotFound):
    """No health monitor has this id."""

    kind = "health monitor"


class MemberNotFound(NotFound):
    """No member has this id."""

    kind = "member"


class L7PolicyNotFound(NotFound):
    """No L7 policy has this id."""

    kind = "L7 policy"


class L7RuleNotFound(NotFound):
    """No L7 rule has this id."""

    kind = "L7 rule"


class FlavorNotFound(NotFound):
    """No flavor has this id."""

    kind = "flavor"


class FlavorProfileNotFound(NotFound):
    """No flavor profile has this id."""

    kind = "flavor profile"


class AvailabilityZoneNotFound(NotFound):
    """No availability zone has this name."""

    kind = "availability zone"


class AvailabilityZoneProfileNotFound(NotFound):
    """No availability zone profile has this id."""

    kind = "availability zone profile"


class Unauthenticated(PorticoError):
    """The request has no credentials, or they are not valid.

    Attributes:
        challenge: where to get credentials: the value of the ``WWW-Authenticate`` header.
    """

    made_of_message = False

    def __init__(self, challenge: str = "Keystone") -> None:
        super().__init__("The request you have made requires authentication.")
        self.challenge = challenge


class Forbidden(PorticoError):
    """The caller is known, but may not do this."""


class QuotaExceeded(Forbidden):
    """The project has reached its quota of objects of these kinds."""

    made_of_message = False

    def __init__(self, kinds: str) -> None:
        super().__init__(f"Quota has been met for resources: {kinds}")


class Unsuitable(PorticoError):
    """What the object should be built on is missing or cannot carry it."""


class NoSuitableAmphora(Unsuitable):
    """No amphora was available for the load balancer."""


class NoSuitableLB(Unsuitable):
    """The listener or pool has no load balancer that could carry it."""


class NoSuitablePool(Unsuitable):
    """The member or health monitor has no pool that could carry it."""


class Conflict(PorticoError):
    """The present state of the object forbids the request."""


class IllegalTransition(Conflict):
    """A status change that the transition table in ``portico.status`` does not list."""


class AmphoraInUse(Conflict):
    """The amphora serves a load balancer: fail it over or delete the load balancer instead."""


class Duplicate(Conflict):
    """Another object already has this port, address, name or place."""


class OperationFailed(PorticoError):
    """The operation ended in FAILED. ``operation_id`` names it, and ``reason`` is the reason on its record."""

    made_of_message = False

    def __init__(self, operation_id: str, reason: str) -> None:
        super().__init__(reason)
        self.operation_id = operation_id
        self.reason = reason


class Closed(PorticoError):
    """The object was closed, or it belongs to the process that this one was forked from: a forked process does not have
    its parent's connections and threads."""


class LeaseLost(PorticoError):
    """The lease ran out and another worker has it: everything that this worker still tries to write is refused."""


class StoreError(PorticoError):
    """The database refused a statement."""


class StoreUnavailable(StoreError):
    """The database could not be reached, or aborted a transaction that can be retried."""

    transient = True


class DriverError(PorticoError):
    """An outside system (agent, network, compute) failed or refused."""


class DriverUnavailable(DriverError):
    """The outside system could not be reached or did not answer in time."""

    transient = True


class WireVersionMismatch(DriverUnavailable):
    """The agent and this controller speak different versions of the wire. The older of the two must be upgraded. Until
    then the agent is treated as unreachable."""


class ConfigurationRefused(DriverError):
    """The daemon refused the configuration. ``log`` is the daemon's own output."""

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(f"{message}: {log}" if log else message)
        self.log = log


class StaleVersion(DriverError):
    """The agent has a newer version than the one that was pushed: the process that pushed it has lost its lease."""


class AddressInUse(DriverError):
    """The address (or address and port) is already taken by something else."""


class AmphoraGone(DriverError):
    """The amphora was deleted on its host; an id is never used twice."""


class NoCapacity(DriverError):
    """The compute driver has no room for another amphora."""
