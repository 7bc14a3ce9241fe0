"""The contract that every compute driver fulfils."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from urllib.parse import urlsplit

import pytest

from portico.drivers.compute_local import LocalCompute
from portico.drivers.compute_noop import NoopCompute
from portico.errors import AmphoraGone, DriverUnavailable, NoCapacity
from portico.ports.compute import Compute, Pending, Placement, PlacementRequest
from tests.contracts.conftest import AgentHost


@pytest.fixture
def amphora_id() -> str:
    """An id that nothing has yet."""
    return str(uuid.uuid4())


def place(compute: Compute, amphora_id: str) -> Placement:
    """Repeat the request until the place is there, as flows do when they run again."""
    for _ in range(100):
        found = compute.ensure(PlacementRequest(amphora_id))
        if isinstance(found, Placement):
            return found
        assert found.amphora_id == amphora_id
        assert found.reason
        assert found.look_again_seconds > 0
        assert amphora_id in compute.owned()
        assert isinstance(compute.find(amphora_id), Pending | Placement)
    raise AssertionError("the place never gets ready")


class ComputeContract(ABC):
    """The behaviour; a subclass provides the compute, which may already have other amphorae."""

    @pytest.fixture
    @abstractmethod
    def compute(self) -> Compute:
        """The compute under test."""

    def test_place_is_created_once(self, compute: Compute, amphora_id: str) -> None:
        """Asking again after a lost reply returns the place that the first attempt created."""
        placed = place(compute, amphora_id)
        assert place(compute, amphora_id) == placed
        assert compute.find(amphora_id) == placed

    def test_place_is_complete(self, compute: Compute, amphora_id: str) -> None:
        """A placement contains its amphora, its place, its agent and an address."""
        placed = place(compute, amphora_id)
        assert placed.amphora_id == amphora_id
        assert placed.compute_id
        assert placed.agent_name
        assert urlsplit(placed.agent_url).scheme
        assert str(ip_address(placed.lb_network_ip)) == placed.lb_network_ip

    def test_the_amphora_alone_identifies_its_place(self, compute: Compute, amphora_id: str) -> None:
        """If other attributes of the request have changed, as flavors and neighbours can, the place is still the
        same."""
        placed = place(compute, amphora_id)
        again = PlacementRequest(amphora_id, str(uuid.uuid4()), {"compute_flavor": "large"}, None, (placed.compute_id,))
        assert compute.ensure(again) == placed

    def test_its_description_is_one_line(self, compute: Compute) -> None:
        """Operators are shown where places are created."""
        assert compute.probe()
        assert "\n" not in compute.probe()

    def test_an_amphora_that_was_never_placed_is_not_found(self, compute: Compute, amphora_id: str) -> None:
        """Looking for a place does not create one."""
        assert compute.find(amphora_id) is None
        assert amphora_id not in compute.owned()

    def test_owned_names_every_amphora(self, compute: Compute) -> None:
        """An amphora with a place here is found by its owner's id until it is deleted."""
        first, second = str(uuid.uuid4()), str(uuid.uuid4())
        before = compute.owned()
        place(compute, first)
        place(compute, second)
        assert compute.owned() - before == {first, second}
        compute.delete(first)
        assert compute.owned() - before == {second}

    def test_delete_twice(self, compute: Compute, amphora_id: str) -> None:
        """Deleting a place that is gone is not an error."""
        place(compute, amphora_id)
        compute.delete(amphora_id, drain_seconds=0.5)
        compute.delete(amphora_id)
        assert compute.find(amphora_id) is None

    def test_deleted_amphora_stays_deleted(self, compute: Compute, amphora_id: str) -> None:
        """A worker that was suspended during the delete cannot bring the amphora back."""
        place(compute, amphora_id)
        compute.delete(amphora_id)
        with pytest.raises(AmphoraGone):
            place(compute, amphora_id)
        assert amphora_id not in compute.owned()

    def test_deletion_can_come_before_the_creation(self, compute: Compute, amphora_id: str) -> None:
        """A worker cannot create an amphora after its delete overtook the request."""
        compute.delete(amphora_id)
        with pytest.raises(AmphoraGone):
            place(compute, amphora_id)

    def test_racing_workers_share_the_place(self, compute: Compute, amphora_id: str) -> None:
        """Two workers that place the same amphora get the same place, and only one exists."""
        before = compute.owned()
        with ThreadPoolExecutor(4) as pool:
            places = set(pool.map(lambda one: place(compute, one), [amphora_id] * 12))
        assert len(places) == 1
        assert compute.owned() - before == {amphora_id}


class TestLocalCompute(ComputeContract):
    """Through the agent of this host."""

    @pytest.fixture
    def compute(self, agent_host: AgentHost) -> Compute:
        """Uses a running agent."""
        return LocalCompute(agent_host.client, agent_host.agent.identity)


class TestNoopCompute(ComputeContract):
    """In memory."""

    @pytest.fixture
    def compute(self) -> Compute:
        """Needs nothing."""
        return NoopCompute()


class TestSlowNoopCompute(ComputeContract):
    """In memory, like a compute whose places take time to boot."""

    @pytest.fixture
    def compute(self) -> Compute:
        """Needs nothing."""
        return NoopCompute(looks=2)

    def test_a_pending_place_can_be_deleted(self, compute: Compute, amphora_id: str) -> None:
        """The place is not created then, even if a worker still asks for it."""
        assert isinstance(compute.ensure(PlacementRequest(amphora_id)), Pending)
        compute.delete(amphora_id)
        assert compute.find(amphora_id) is None
        assert amphora_id not in compute.owned()
        with pytest.raises(AmphoraGone):
            compute.ensure(PlacementRequest(amphora_id))


def test_noop_compute_can_be_full() -> None:
    """If the capacity is used up, the next amphora is refused, existing ones stay, and a delete makes room."""
    compute = NoopCompute(capacity=1)
    place(compute, "first")
    with pytest.raises(NoCapacity):
        place(compute, "second")
    assert place(compute, "first").amphora_id == "first"
    compute.delete("first")
    assert place(compute, "second").amphora_id == "second"


def test_planned_failures_come_before_or_after_the_work() -> None:
    """A failure before the work leaves no place; one after the work leaves the place and loses the reply; other methods
    are not affected."""
    compute = NoopCompute()
    compute.fail_next("ensure", DriverUnavailable("before"))
    with pytest.raises(DriverUnavailable, match="before"):
        place(compute, "amphora")
    assert compute.owned() == frozenset()
    compute.fail_next("ensure", DriverUnavailable("after"), lost_reply=True)
    with pytest.raises(DriverUnavailable, match="after"):
        place(compute, "amphora")
    assert compute.owned() == {"amphora"}
    assert place(compute, "amphora") == compute.find("amphora")
