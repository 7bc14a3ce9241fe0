"""Random operations on load balancers, compared with a model that consists of a few dictionaries."""

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
"""The weight that the daemon of this world refuses."""
_WEIGHTS = st.sampled_from([0, 1, 2, 3, BAD])
_PICK = st.integers(0, 99)
_KINDS = st.sampled_from(["member", "member", "l7policy", "pool"])


@dataclass
class Part:
    """A part in the model. ``value`` is the weight of a member, or the number in the name of another part."""

    kind: str
    value: int = 1
    parent: str = ""
    status: str = "ACTIVE"
    applied: bool = True
    going: bool = False


@dataclass
class Balancer:
    """A load balancer in the model."""

    listener: str
    pool: str
    status: str = "ACTIVE"
    parts: dict[str, Part] = field(default_factory=dict)


class RandomOperations(RuleBasedStateMachine):
    """Adds, creates, changes, refusals, deletes and failovers, called directly and queued.

    Every member gets traffic (its pool is its listener's default), so a bad weight is always noticed. The result of a
    series of weights is simple: the last good weight is applied, and a bad weight at the end leads to ERROR.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.balancers: dict[str, Balancer] = {}
        self.queued = False
        self.counter = 0
        world.amphorae.refuse(lambda bundle: f"weight {BAD}" in text_of(bundle))

    def teardown(self) -> None:
        """Deleting everything leaves nothing, whatever happened before."""
        self.world.run_all()
        for balancer_id in self.world.catalog.list_ids("load_balancer"):
            self.world.worker.delete_load_balancer(balancer_id)
        for amphora_id in self.world.catalog.list_ids("amphora"):
            self.world.worker.delete_amphora(amphora_id)
        self.world.assert_empty()

    # Rules

    @precondition(lambda self: len(self.balancers) < 2)
    @rule()
    def build_load_balancer(self) -> None:
        """Build a load balancer with a listener and its pool in one call."""
        add = self.world.catalog
        balancer_id = add.add_load_balancer()
        pool = add.add_pool(balancer_id, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
        listener = add.add_listener(balancer_id, protocol="HTTP", protocol_port=80, default_pool_id=pool)
        self.world.worker.create_load_balancer(balancer_id)
        self.balancers[balancer_id] = Balancer(listener, pool)

    @precondition(lambda self: self.balancers)
    @rule(pick=_PICK, kind=_KINDS, weight=_WEIGHTS, direct=st.booleans())
    def add_part(self, pick: int, kind: Any, weight: int, direct: bool) -> None:
        """Add a part, which is created immediately or later."""
        balancer_id, balancer = self._pick(self.balancers, pick)
        self.counter += 1
        name = f"n{self.counter}"
        described: dict[str, tuple[str, dict[str, Any]]] = {
            "member": (balancer.pool, {"address": "192.0.2.1", "protocol_port": self.counter, "weight": weight}),
            "l7policy": (balancer.listener, {"action": "REJECT", "position": 1 + pick % 3}),
            "pool": (balancer_id, {"protocol": "HTTP", "lb_algorithm": "SOURCE_IP"}),
        }
        parent, values = described[kind]
        part = Part(kind, weight if kind == "member" else 0)
        bad = kind == "member" and weight == BAD
        part.status, part.applied = ("ERROR", False) if bad else ("ACTIVE", True)
        if direct:
            part_id = getattr(self.world.catalog, f"add_{kind}")(parent, name=name, **values)
            self._call("create", part_id, part, bad)
        else:
            part_id = self.world.requests.create(kind, parent, name=name, **values).object_id
            self.queued = True
        balancer.parts[part_id] = part

    @precondition(lambda self: self._members())
    @rule(pick=_PICK, weights=st.lists(_WEIGHTS, min_size=1, max_size=4), direct=st.booleans())
    def change_member(self, pick: int, weights: list[int], direct: bool) -> None:
        """Change the weight several times, by direct calls or by queued operations."""
        part_id, part = self._pick(self._members(), pick)
        for weight in weights:
            if weight != BAD:
                part.value, part.status, part.applied = weight, "ACTIVE", True
            else:
                part.status = "ERROR"
            if direct:
                self._call("update", part_id, part, weight == BAD, {"weight": weight})
            else:
                self.world.requests.update("member", part_id, {"weight": weight})
                self.queued = True

    @precondition(lambda self: self._remaining())
    @rule(pick=_PICK, direct=st.booleans())
    def delete_part(self, pick: int, direct: bool) -> None:
        """Delete a part."""
        part_id, part = self._pick(self._remaining(), pick)
        if direct:
            self._call("delete", part_id, part, False)
            self._forget(part_id)
        else:
            self.world.requests.delete(part.kind, part_id)
            part.going = self.queued = True

    @precondition(lambda self: self.balancers)
    @rule(pick=_PICK, whole=st.booleans(), direct=st.booleans())
    def fail_over(self, pick: int, whole: bool, direct: bool) -> None:
        """Replace an amphora, or all amphorae of a load balancer. The latter repairs the load balancer's status."""
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
        """A failover that finds no place changes only the load balancer's status."""
        balancer_id, balancer = self._pick(self.balancers, pick)
        before = self.world.amphora_of(balancer_id)
        self.world.compute.fail_next("ensure", DriverError("on purpose"))
        with pytest.raises(DriverError, match="on purpose"):
            self.world.worker.failover_load_balancer(balancer_id)
        balancer.status = "ERROR"
        assert self.world.amphora_of(balancer_id) == before

    @rule(method=st.sampled_from(["push", "push", "ensure", "delete"]), lost_reply=st.booleans())
    def plan_fault(self, method: str, lost_reply: bool) -> None:
        """The next call of a driver fails once with a transient error."""
        driver = self.world.amphorae if method == "push" else self.world.compute
        if not driver.faults._before[method] and not driver.faults._after[method]:
            driver.fail_next(method, DriverUnavailable("passing"), lost_reply=lost_reply)

    @rule()
    def add_spare(self) -> None:
        """Add a spare for the next operation that needs an amphora."""
        if len(self.world.catalog.list_ids("amphora", load_balancer_id=None)) < 2:
            self.world.worker.create_amphora()

    @precondition(lambda self: self.balancers)
    @rule(pick=_PICK, direct=st.booleans())
    def delete_load_balancer(self, pick: int, direct: bool) -> None:
        """Delete a load balancer, whatever is queued for it."""
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
    def run_queued(self) -> None:
        """Run the queued operations."""
        self.world.run_all()
        self._settle()

    # Invariants

    @invariant()
    def rows_and_world_match_the_model(self) -> None:
        """If nothing is queued, statuses, values and configurations are those of the model, and nothing is left
        over."""
        if self.queued:
            return
        world = self.world
        assert set(world.catalog.list_ids("load_balancer")) == set(self.balancers)
        tables = [row for model in (Member, L7Policy, Pool) for row in world.rows(model)]
        for balancer_id, balancer in self.balancers.items():
            assert world.status("load_balancer", balancer_id) == balancer.status
            rows = {row["id"]: row for row in tables if row["load_balancer_id"] == balancer_id}
            assert set(rows) == {balancer.pool, *balancer.parts}
            for part_id, part in balancer.parts.items():
                row = rows[part_id]
                assert (row["provisioning_status"], row["applied"]) == (part.status, part.applied)
                assert part.kind != "member" or row["weight"] == part.value
            world.assert_in_step(balancer_id)
            text = text_of(world.pushed(balancer_id))
            seen = {part_id for part_id, part in balancer.parts.items() if part_id in text}
            members = {part_id for part_id, part in balancer.parts.items() if part.kind == "member"}
            assert seen & members == {one for one in members if balancer.parts[one].applied}
        world.assert_no_orphans()
        assert world.compute.owned() == set(world.catalog.list_ids("amphora"))
        assert {lease["pending"] for lease in world.rows(Lease)} <= {0}

    # Steps of the model

    def _call(self, action: str, part_id: str, part: Part, bad: bool, changes: dict[str, Any] | None = None) -> None:
        """Make a direct call, which raises an error only if it is refused."""
        if bad:
            with pytest.raises(ConfigurationRefused):
                self.world.do(action, part.kind, part_id, changes)
        else:
            self.world.do(action, part.kind, part_id, changes)

    def _settle(self) -> None:
        self.queued = False
        for balancer in self.balancers.values():
            balancer.parts = {part_id: part for part_id, part in balancer.parts.items() if not part.going}

    def _forget(self, part_id: str) -> None:
        for balancer in self.balancers.values():
            balancer.parts.pop(part_id, None)

    def _remaining(self) -> dict[str, Part]:
        return {
            part_id: part
            for balancer in self.balancers.values()
            for part_id, part in balancer.parts.items()
            if not part.going
        }

    def _members(self) -> dict[str, Part]:
        return {part_id: part for part_id, part in self._remaining().items() if part.kind == "member"}

    @staticmethod
    def _pick(parts: dict[str, Any], pick: int) -> tuple[str, Any]:
        return list(parts.items())[pick % len(parts)]


def test_random_operations_match_the_model(world: World) -> None:
    """Whatever happens in whatever order, rows, statuses and configurations are those of the model, and deleting
    everything leaves nothing."""
    run_state_machine_as_test(
        lambda: RandomOperations(world),  # type: ignore[arg-type]  # any factory is accepted
        settings=settings(
            max_examples=20,
            stateful_step_count=25,
            phases=[Phase.generate],  # shrinking a failure takes minutes, and the first example is short enough
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
