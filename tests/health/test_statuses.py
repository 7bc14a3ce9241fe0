"""The operating statuses of a load balancer's objects, derived from the findings of its amphorae."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from portico.health.findings import Findings
from portico.health.statuses import derive_changes
from portico.status import OperatingStatus
from portico.store.reads.observations import Known, StatusTree

VERSION = 7


@dataclass
class KnownTree:
    """A load balancer "lb" with listeners, pools and members, whose known statuses are ``as_known`` or ONLINE.

    ``listeners`` are names to default pools, ``members`` are names to pools, and ``down`` are the names of switched-off
    objects.
    """

    listeners: dict[str, str | None] = field(default_factory=lambda: {"listener": "pool"})
    pools: tuple[str, ...] = ("pool",)
    members: dict[str, str] = field(default_factory=lambda: {"a": "pool", "b": "pool"})
    redirects: dict[str, list[str]] = field(default_factory=dict)
    monitored: tuple[str, ...] = ("pool",)
    down: tuple[str, ...] = ()
    as_known: dict[str, str] = field(default_factory=dict)
    version: int = VERSION
    is_settled: bool = True

    def tree(self) -> StatusTree:
        """The tree as the store reads it."""
        return StatusTree(
            self._known("load_balancer", "lb"),
            self.version,
            self.is_settled,
            [self._known("listener", name, pool) for name, pool in self.listeners.items()],
            [self._known("pool", name) for name in self.pools],
            [self._known("member", name, pool) for name, pool in self.members.items()],
            set(self.monitored),
            self.redirects,
        )

    def _known(self, kind: str, name: str, parent: str | None = None) -> Known:
        return Known(kind, name, self.as_known.get(name, "ONLINE"), name not in self.down, parent)

    def after(self, *reported: Findings) -> dict[str, str]:
        """The statuses that these findings change: name to new status."""
        changes = derive_changes(self.tree(), reported)
        assert all(change.before == self.as_known.get(change.id, "ONLINE") for change in changes)
        return {change.id: str(change.after) for change in changes}


def found(version: int = VERSION, listeners: dict[str, str] | None = None, /, **members: str | None) -> Findings:
    """Findings about these members. The listener "listener" is open, unless ``listeners`` overrides this."""
    statuses = {name: OperatingStatus(status) if status else None for name, status in members.items()}
    return Findings(version, {"listener": "OPEN"} if listeners is None else listeners, statuses)


@pytest.mark.parametrize(
    ("members", "after"),
    [
        ({"a": "ONLINE", "b": "ONLINE"}, {}),
        ({"a": "ERROR", "b": "ONLINE"}, {"a": "ERROR", "pool": "DEGRADED"}),
        ({"a": "ERROR", "b": "ERROR"}, {"a": "ERROR", "b": "ERROR", "pool": "ERROR"}),
        ({"a": "ERROR", "b": "OFFLINE"}, {"a": "ERROR", "b": "OFFLINE", "pool": "ERROR"}),
        ({"a": "ERROR", "b": "DRAINING"}, {"a": "ERROR", "b": "DRAINING", "pool": "ERROR"}),
        ({"a": "OFFLINE", "b": "DRAINING"}, {"a": "OFFLINE", "b": "DRAINING"}),
        ({"a": "ONLINE", "b": "DRAINING"}, {"b": "DRAINING"}),
        ({"a": "NO_MONITOR", "b": "NO_MONITOR"}, {"a": "NO_MONITOR", "b": "NO_MONITOR"}),
        ({"a": "ERROR", "b": "NO_MONITOR"}, {"a": "ERROR", "b": "NO_MONITOR", "pool": "DEGRADED"}),
    ],
)
def test_a_pool_has_the_status_of_its_members(members: dict[str, str], after: dict[str, str]) -> None:
    """A pool is DEGRADED if some of its members are in error, and ERROR if all that should serve are in error. The one
    listener and the load balancer that depend on the pool have the same status."""
    changes = KnownTree().after(found(**members))

    above = {"listener": changes["pool"], "lb": changes["pool"]} if "pool" in after else {}
    assert changes == after | above


@pytest.mark.parametrize("known", ["OFFLINE", "NO_MONITOR", "DEGRADED"])
def test_a_member_is_offline_before_its_first_check(known: str) -> None:
    """A member whose first check is outstanding is OFFLINE, but gets traffic, so its pool is ONLINE."""
    tree = KnownTree(as_known={"a": known, "b": "OFFLINE", "pool": "OFFLINE"})

    changes = tree.after(found(a=None, b=None))

    assert changes == ({"pool": "ONLINE"} if known == "OFFLINE" else {"a": "OFFLINE", "pool": "ONLINE"})


@pytest.mark.parametrize("known", ["ONLINE", "ERROR", "DRAINING"])
def test_a_new_process_does_not_reset_known_statuses(known: str) -> None:
    """After a reload each member keeps its status until it has been checked again."""
    pool = "DEGRADED" if known == "ERROR" else "ONLINE"
    tree = KnownTree(as_known={"a": known, "pool": pool, "listener": pool, "lb": pool})

    assert tree.after(found(a=None, b="ONLINE")) == {}


def test_a_member_without_a_server_has_the_status_of_its_rows() -> None:
    """If no listener sends to a member's pool, nothing checks the member: it is OFFLINE with a monitor, NO_MONITOR
    without one, and OFFLINE if it is switched off. The pool is OFFLINE."""
    tree = KnownTree(
        listeners={"listener": None},
        pools=("pool", "bare"),
        members={"a": "pool", "b": "bare", "c": "bare"},
        down=("c",),
    )
    assert tree.after(found()) == {
        "a": "OFFLINE",
        "b": "NO_MONITOR",
        "c": "OFFLINE",
        "pool": "OFFLINE",
        "bare": "OFFLINE",
    }


@pytest.mark.parametrize(
    ("tree", "findings", "after"),
    [
        (KnownTree(down=("pool",)), found(), {"pool": "OFFLINE", "a": "OFFLINE", "b": "OFFLINE"}),
        (
            KnownTree(down=("listener",)),
            found(VERSION, {}),
            {"listener": "OFFLINE", "pool": "OFFLINE", "a": "OFFLINE", "b": "OFFLINE"},
        ),
        (
            KnownTree(down=("lb",)),
            found(VERSION, {}),
            {"lb": "OFFLINE", "listener": "OFFLINE", "pool": "OFFLINE", "a": "OFFLINE", "b": "OFFLINE"},
        ),
        (KnownTree(down=("a",)), found(a="OFFLINE", b="ONLINE"), {"a": "OFFLINE"}),
        (KnownTree(listeners={}, pools=(), members={}), found(VERSION, {}), {}),
        (KnownTree(members={}), found(), {}),
        (
            KnownTree(as_known={"lb": "OFFLINE"}, listeners={}, pools=(), members={}),
            found(VERSION, {}),
            {"lb": "ONLINE"},
        ),
    ],
    ids=["pool down", "listener down", "load balancer down", "member down", "bare", "empty pool", "up again"],
)
def test_a_switched_off_object_is_offline(tree: KnownTree, findings: Findings, after: dict[str, str]) -> None:
    """A switched-off object is OFFLINE without affecting the objects above it. An empty load balancer or pool is
    ONLINE."""
    assert tree.after(findings) == after


@pytest.mark.parametrize(
    ("listeners", "after"),
    [
        ({"listener": "FULL"}, {"listener": "DEGRADED", "lb": "DEGRADED"}),
        ({"listener": "STOP"}, {"listener": "ERROR", "lb": "ERROR"}),
        ({}, {"listener": "ERROR", "lb": "ERROR", "pool": "OFFLINE"}),
    ],
)
def test_a_listener_that_does_not_serve_as_it_should(listeners: dict[str, str], after: dict[str, str]) -> None:
    """A listener at its connection limit is DEGRADED. One that should serve and does not is in ERROR."""
    assert KnownTree(members={}).after(found(VERSION, listeners)) == after


TWO = KnownTree(
    listeners={"listener": "pool", "second": "other"},
    pools=("pool", "other"),
    members={"a": "pool", "b": "other"},
    monitored=("pool", "other"),
)
BOTH_OPEN = {"listener": "OPEN", "second": "OPEN"}


@pytest.mark.parametrize(
    ("tree", "findings", "after"),
    [
        (
            TWO,
            found(VERSION, BOTH_OPEN, a="ERROR", b="ONLINE"),
            {"a": "ERROR", "pool": "ERROR", "listener": "ERROR", "lb": "DEGRADED"},
        ),
        (
            TWO,
            found(VERSION, BOTH_OPEN, a="ERROR", b="ERROR"),
            {
                "a": "ERROR",
                "b": "ERROR",
                "pool": "ERROR",
                "other": "ERROR",
                "listener": "ERROR",
                "second": "ERROR",
                "lb": "ERROR",
            },
        ),
        (
            replace(TWO, listeners={"listener": "pool"}, redirects={"listener": ["other"]}),
            found(a="ONLINE", b="ERROR"),
            {"b": "ERROR", "other": "ERROR", "listener": "DEGRADED", "lb": "DEGRADED"},
        ),
        (
            replace(TWO, listeners={"listener": None}, redirects={"listener": ["other"]}),
            found(b="ERROR"),
            {"b": "ERROR", "other": "ERROR", "listener": "ERROR", "lb": "ERROR", "pool": "OFFLINE", "a": "OFFLINE"},
        ),
        (
            replace(TWO, down=("second",), as_known={"second": "OFFLINE", "other": "OFFLINE", "b": "OFFLINE"}),
            found(a="ERROR"),
            {"a": "ERROR", "pool": "ERROR", "listener": "ERROR", "lb": "ERROR"},
        ),
        (
            replace(TWO, listeners={"listener": "pool"}, redirects={"listener": ["other"]}),
            found(a="ONLINE"),
            {"other": "OFFLINE", "b": "OFFLINE"},
        ),
    ],
    ids=["one of two", "both", "redirect", "redirect only", "the only one up", "a policy without rules"],
)
def test_the_statuses_below_determine_those_above(tree: KnownTree, findings: Findings, after: dict[str, str]) -> None:
    """An object is DEGRADED if something below it has failed, and ERROR if everything has. OFFLINE objects do not
    count."""
    assert tree.after(findings) == after


def test_a_recovery_is_shown() -> None:
    """A recovery reaches every object from the member to the load balancer."""
    tree = KnownTree(as_known={"a": "ERROR", "pool": "DEGRADED", "listener": "DEGRADED", "lb": "DEGRADED"})

    assert tree.after(found(a="ONLINE", b="ONLINE")) == dict.fromkeys(("a", "pool", "listener", "lb"), "ONLINE")


@pytest.mark.parametrize(
    ("tree", "reported"),
    [
        (KnownTree(), []),
        (KnownTree(), [found(VERSION - 1, a="ERROR", b="ERROR")]),
        (KnownTree(version=0, as_known={"lb": "OFFLINE"}), [found(0, {})]),
    ],
    ids=["no answer", "an older configuration", "never built"],
)
def test_nothing_changes_without_a_report_that_counts(tree: KnownTree, reported: list[Findings]) -> None:
    """The last known statuses stay if no report counts. A load balancer that was never built stays OFFLINE."""
    assert tree.after(*reported) == {}


def test_findings_of_several_amphorae_are_combined() -> None:
    """A member that one of the amphorae cannot reach is in error. If one amphora has not checked a member yet, another
    one's finding counts. An amphora without the newest configuration does not count."""
    old = found(VERSION, a="ERROR", b="ERROR")
    assert KnownTree(version=VERSION).after(found(a="ONLINE", b=None), found(a="ERROR", b="ONLINE")) == {
        "a": "ERROR",
        **dict.fromkeys(("pool", "listener", "lb"), "DEGRADED"),
    }
    unsettled = KnownTree(is_settled=False)
    assert unsettled.after(old, found(VERSION + 1, a="ONLINE", b="ONLINE")) == {}


@pytest.mark.parametrize("version", [VERSION, VERSION + 1])
def test_only_reported_objects_change_while_changes_are_unfinished(version: int) -> None:
    """The rows can be ahead of the configuration. An object that a report shows has the reported status; an object that
    it does not show, or that the user has just switched off, keeps its status."""
    tree = KnownTree(
        listeners={"listener": "pool", "new": "pool", "leaving": "pool"},
        pools=("pool", "unused"),
        members={"a": "pool", "b": "pool", "c": "unused"},
        down=("leaving", "lb", "unused"),
        is_settled=False,
        as_known={"new": "OFFLINE"},
    )
    listeners = {"listener": "OPEN", "leaving": "OPEN"}
    assert tree.after(found(version, listeners, a="ERROR")) == {"a": "ERROR", "pool": "ERROR"}


def test_a_configuration_newer_than_the_recorded_one_is_not_compared_with_rows() -> None:
    """A newer configuration was pushed but is not recorded yet. Until it is, a listener that is missing in it is not an
    error."""
    assert KnownTree().after(found(VERSION + 1, {}, a="ONLINE", b="ONLINE")) == {}
