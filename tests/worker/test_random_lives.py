"""Random lives of load balancers, against a model that is a few dictionaries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from portico.errors import ConfigurationRefused, DriverError, DriverUnavailable
from portico.resources import L7Policy, Lease, Member, Pool
from portico.resources.kinds import Replaceable
from tests.support.bundles import text_of
from tests.support.world import World

pytestmark = pytest.mark.database("sqlite")
BAD = 66
"""The weight that the daemon of this world refuses, wherever it stands."""
_WEIGHTS = st.sampled_from([0, 1, 2, 3, BAD])
_PICK = st.integers(0, 99)
_KINDS = st.sampled_from(["member", "member", "l7policy", "pool"])


@dataclass
class Thing:
    """What the model knows of a part: ``value`` is the weight of a member, else the number in its name."""

    kind: str
    value: int = 1
    parent: str = ""
    status: str = "ACTIVE"
    applied: bool = True
    going: bool = False


@dataclass
class Balancer:
    """What the model knows of a load balancer."""

    listener: str
    pool: str
    status: str = "ACTIVE"
    things: dict[str, Thing] = field(default_factory=dict)


class Lives(RuleBasedStateMachine):
    """Adds, creates, changes, refusals, deletes and failovers, called directly and queued.

    Every member is reached by traffic (its pool is its listener's default), so that a bad weight is always seen. What
    a series of weights comes to is simple: the last one that is not bad stands, and a bad one at the end is an ERROR.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.balancers: dict[str, Balancer] = {}
        self.queued = False
        self.counter = 0
        world.amphorae.refuse(lambda bundle: f"weight {BAD}" in text_of(bundle))

    def teardown(self) -> None:
        """However a life went, deleting everything leaves nothing."""
        self.world.run_all()
        for balancer_id in self.world.catalog.list_ids("load_balancer"):
            self.world.worker.delete_load_balancer(balancer_id)
        for amphora_id in self.world.catalog.list_ids("amphora"):
            self.world.worker.delete_amphora(amphora_id)
        self.world.assert_empty()

    # What happens

    @precondition(lambda self: len(self.balancers) < 2)
    @rule()
    def build_load_balancer(self) -> None:
        """A load balancer with a listener and its pool, built by one call."""
        add = self.world.catalog
        balancer_id = add.add_load_balancer()
        pool = add.add_pool(balancer_id, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
        listener = add.add_listener(balancer_id, protocol="HTTP", protocol_port=80, default_pool_id=pool)
        self.world.worker.create_load_balancer(balancer_id)
        self.balancers[balancer_id] = Balancer(listener, pool)

    @precondition(lambda self: self.balancers)
    @rule(pick=_PICK, kind=_KINDS, weight=_WEIGHTS, direct=st.booleans())
    def add_thing(self, pick: int, kind: Any, weight: int, direct: bool) -> None:
        """A new part, created at once or some time later."""
        balancer_id, balancer = self._pick(self.balancers, pick)
        self.counter += 1
        name = f"n{self.counter}"
        described: dict[str, tuple[str, dict[str, Any]]] = {
            "member": (balancer.pool, {"address": "192.0.2.1", "protocol_port": self.counter, "weight": weight}),
            "l7policy": (balancer.listener, {"action": "REJECT", "position": 1 + pick % 3}),
            "pool": (balancer_id, {"protocol": "HTTP", "lb_algorithm": "SOURCE_IP"}),
        }
        parent, values = described[kind]
        thing = Thing(kind, weight if kind == "member" else 0)
        bad = kind == "member" and weight == BAD
        thing.status, thing.applied = ("ERROR", False) if bad else ("ACTIVE", True)
        if direct:
            thing_id = getattr(self.world.catalog, f"add_{kind}")(parent, name=name, **values)
            self._call("create", thing_id, thing, bad)
        else:
            thing_id = self.world.requests.create(kind, parent, name=name, **values).object_id
            self.queued = True
        balancer.things[thing_id] = thing

    @precondition(lambda self: self._members())
    @rule(pick=_PICK, weights=st.lists(_WEIGHTS, min_size=1, max_size=4), direct=st.booleans())
    def change_member(self, pick: int, weights: list[int], direct: bool) -> None:
        """Weights follow one another, each by a call, or all of them queued."""
        thing_id, thing = self._pick(self._members(), pick)
        for weight in weights:
            if weight != BAD:
                thing.value, thing.status, thing.applied = weight, "ACTIVE", True
            else:
                thing.status = "ERROR"
            if direct:
                self._call("update", thing_id, thing, weight == BAD, {"weight": weight})
            else:
                self.world.requests.update("member", thing_id, {"weight": weight})
                self.queued = True

    @precondition(lambda self: self._standing())
    @rule(pick=_PICK, direct=st.booleans())
    def delete_thing(self, pick: int, direct: bool) -> None:
        """A part goes."""
        thing_id, thing = self._pick(self._standing(), pick)
        if direct:
            self._call("delete", thing_id, thing, False)
            self._forget(thing_id)
        else:
            self.world.requests.delete(thing.kind, thing_id)
            thing.going = self.queued = True

    @precondition(lambda self: self.balancers)
    @rule(pick=_PICK, whole=st.booleans(), direct=st.booleans())
    def fail_over(self, pick: int, whole: bool, direct: bool) -> None:
        """An amphora, or all of a load balancer's, is replaced. That of a whole one heals its status."""
        balancer_id, balancer = self._pick(self.balancers, pick)
        kind: Replaceable
        kind, subject = ("load_balancer", balancer_id) if whole else ("amphora", self.world.amphora_of(balancer_id))
        if direct:
            self.world.do("failover", kind, subject)
        else:
            self.world.requests.failover(kind, subject)
            self.world.run_all()
            self._settle()
        balancer.status = "ACTIVE"
        self.queued = self.queued and direct

    @precondition(lambda self: self.balancers and not self.queued)
    @rule(pick=_PICK)
    def fail_to_fail_over(self, pick: int) -> None:
        """A failover that finds no place changes nothing but the load balancer's status."""
        balancer_id, balancer = self._pick(self.balancers, pick)
        before = self.world.amphora_of(balancer_id)
        self.world.compute.fail_next("ensure", DriverError("on purpose"))
        with pytest.raises(DriverError, match="on purpose"):
            self.world.worker.failover_load_balancer(balancer_id)
        balancer.status = "ERROR"
        assert self.world.amphora_of(balancer_id) == before

    @rule(method=st.sampled_from(["push", "push", "ensure", "delete"]), lost_reply=st.booleans())
    def disturb(self, method: str, lost_reply: bool) -> None:
        """The next call of a driver fails once in a way that passes."""
        driver = self.world.amphorae if method == "push" else self.world.compute
        if not driver.faults._before[method] and not driver.faults._after[method]:
            driver.fail_next(method, DriverUnavailable("passing"), lost_reply=lost_reply)

    @rule()
    def add_spare(self) -> None:
        """A spare for whoever comes next."""
        if len(self.world.catalog.list_ids("amphora", load_balancer_id=None)) < 2:
            self.world.worker.create_amphora()

    @precondition(lambda self: self.balancers)
    @rule(pick=_PICK, direct=st.booleans())
    def delete_load_balancer(self, pick: int, direct: bool) -> None:
        """A load balancer goes, whatever waits for it."""
        balancer_id, _ = self._pick(self.balancers, pick)
        if direct:
            self.world.worker.delete_load_balancer(balancer_id)
        else:
            self.world.requests.delete("load_balancer", balancer_id)
            self.world.run_all()
        del self.balancers[balancer_id]
        if not direct:
            self._settle()

    @precondition(lambda self: self.queued)
    @rule()
    def run_what_waits(self) -> None:
        """A run loop comes by."""
        self.world.run_all()
        self._settle()

    # What must be so

    @invariant()
    def rows_and_world_are_as_the_model_says(self) -> None:
        """Where nothing waits: statuses, values and configurations are the model's, and nothing is left over."""
        if self.queued:
            return
        world = self.world
        assert set(world.catalog.list_ids("load_balancer")) == set(self.balancers)
        tables = [row for model in (Member, L7Policy, Pool) for row in world.rows(model)]
        for balancer_id, balancer in self.balancers.items():
            assert world.status("load_balancer", balancer_id) == balancer.status
            rows = {row["id"]: row for row in tables if row["load_balancer_id"] == balancer_id}
            assert set(rows) == {balancer.pool, *balancer.things}
            for thing_id, thing in balancer.things.items():
                row = rows[thing_id]
                assert (row["provisioning_status"], row["applied"]) == (thing.status, thing.applied)
                assert thing.kind != "member" or row["weight"] == thing.value
            world.assert_in_step(balancer_id)
            text = text_of(world.pushed(balancer_id))
            seen = {thing_id for thing_id, thing in balancer.things.items() if thing_id in text}
            members = {thing_id for thing_id, thing in balancer.things.items() if thing.kind == "member"}
            assert seen & members == {one for one in members if balancer.things[one].applied}
        world.assert_no_orphans()
        assert world.compute.owned() == set(world.catalog.list_ids("amphora"))
        assert {lease["pending"] for lease in world.rows(Lease)} <= {0}

    # The model's own steps

    def _call(self, action: str, thing_id: str, thing: Thing, bad: bool, changes: dict[str, Any] | None = None) -> None:
        """A direct call: it raises where it is refused, and nothing else does."""
        if bad:
            with pytest.raises(ConfigurationRefused):
                self.world.do(action, thing.kind, thing_id, changes)
        else:
            self.world.do(action, thing.kind, thing_id, changes)

    def _settle(self) -> None:
        self.queued = False
        for balancer in self.balancers.values():
            balancer.things = {thing_id: thing for thing_id, thing in balancer.things.items() if not thing.going}

    def _forget(self, thing_id: str) -> None:
        for balancer in self.balancers.values():
            balancer.things.pop(thing_id, None)

    def _standing(self) -> dict[str, Thing]:
        return {
            thing_id: thing
            for balancer in self.balancers.values()
            for thing_id, thing in balancer.things.items()
            if not thing.going
        }

    def _members(self) -> dict[str, Thing]:
        return {thing_id: thing for thing_id, thing in self._standing().items() if thing.kind == "member"}

    @staticmethod
    def _pick(things: dict[str, Any], pick: int) -> tuple[str, Any]:
        return list(things.items())[pick % len(things)]


def test_random_lives_end_as_the_model_says(world: World) -> None:
    """Whatever happens in whatever order: rows, statuses and configurations are what the model says, and deleting
    everything leaves nothing."""
    run_state_machine_as_test(
        lambda: Lives(world),  # type: ignore[arg-type]  # any callable that makes one will do
        settings=settings(
            max_examples=20,
            stateful_step_count=25,
            phases=[Phase.generate],  # shrinking and explaining a failure take minutes; the first one is short enough
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
