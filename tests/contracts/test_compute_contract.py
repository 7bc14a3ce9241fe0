"""What every compute does."""

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
    """Ask until the place is there, as flows do that are run again."""
    for _ in range(100):
        found = compute.ensure(PlacementRequest(amphora_id))
        if isinstance(found, Placement):
            return found
        assert found.amphora_id == amphora_id
        assert found.reason
        assert found.look_again_seconds > 0
        assert amphora_id in compute.owned()
        assert isinstance(compute.find(amphora_id), Pending | Placement)
    raise AssertionError("the place never comes")


class ComputeContract(ABC):
    """The behaviour; a subclass gives the compute, which may hold amphorae of others."""

    @pytest.fixture
    @abstractmethod
    def compute(self) -> Compute:
        """The compute under test."""

    def test_place_is_made_once(self, compute: Compute, amphora_id: str) -> None:
        """Asking again after a lost reply finds the place that the first try made."""
        placed = place(compute, amphora_id)
        assert place(compute, amphora_id) == placed
        assert compute.find(amphora_id) == placed

    def test_place_says_where_it_is(self, compute: Compute, amphora_id: str) -> None:
        """A placement names its amphora, its place, its agent and an address."""
        placed = place(compute, amphora_id)
        assert placed.amphora_id == amphora_id
        assert placed.compute_id
        assert placed.agent_name
        assert urlsplit(placed.agent_url).scheme
        assert str(ip_address(placed.lb_network_ip)) == placed.lb_network_ip

    def test_the_amphora_alone_says_which_place_it_is(self, compute: Compute, amphora_id: str) -> None:
        """Whatever else is asked for the second time, as flavors and neighbours may change: it is the same place."""
        placed = place(compute, amphora_id)
        again = PlacementRequest(amphora_id, str(uuid.uuid4()), {"compute_flavor": "large"}, None, (placed.compute_id,))
        assert compute.ensure(again) == placed

    def test_what_can_be_said_of_it_is_a_line(self, compute: Compute) -> None:
        """Operators are told what places are made in."""
        assert compute.probe()
        assert "\n" not in compute.probe()

    def test_what_was_never_placed_is_not_found(self, compute: Compute, amphora_id: str) -> None:
        """Looking makes nothing."""
        assert compute.find(amphora_id) is None
        assert amphora_id not in compute.owned()

    def test_owned_names_every_amphora(self, compute: Compute) -> None:
        """What has a place here is found by its owner's id, until it is deleted."""
        first, second = str(uuid.uuid4()), str(uuid.uuid4())
        before = compute.owned()
        place(compute, first)
        place(compute, second)
        assert compute.owned() - before == {first, second}
        compute.delete(first)
        assert compute.owned() - before == {second}

    def test_delete_twice(self, compute: Compute, amphora_id: str) -> None:
        """Deleting what is not there any more is no error."""
        place(compute, amphora_id)
        compute.delete(amphora_id, drain_seconds=0.5)
        compute.delete(amphora_id)
        assert compute.find(amphora_id) is None

    def test_deleted_amphora_stays_deleted(self, compute: Compute, amphora_id: str) -> None:
        """A worker that slept through the deletion cannot bring the amphora back."""
        place(compute, amphora_id)
        compute.delete(amphora_id)
        with pytest.raises(AmphoraGone):
            place(compute, amphora_id)
        assert amphora_id not in compute.owned()

    def test_deletion_may_come_before_the_making(self, compute: Compute, amphora_id: str) -> None:
        """Nor can a worker make an amphora whose deletion overtook it."""
        compute.delete(amphora_id)
        with pytest.raises(AmphoraGone):
            place(compute, amphora_id)

    def test_workers_that_race_share_the_place(self, compute: Compute, amphora_id: str) -> None:
        """Two workers at the same amphora get the same place, and there is one."""
        before = compute.owned()
        with ThreadPoolExecutor(4) as pool:
            places = set(pool.map(lambda one: place(compute, one), [amphora_id] * 12))
        assert len(places) == 1
        assert compute.owned() - before == {amphora_id}


class TestLocalCompute(ComputeContract):
    """Through the agent of this host."""

    @pytest.fixture
    def compute(self, agent_host: AgentHost) -> Compute:
        """A running agent is needed."""
        return LocalCompute(agent_host.client, agent_host.agent.identity)


class TestNoopCompute(ComputeContract):
    """In memory."""

    @pytest.fixture
    def compute(self) -> Compute:
        """Nothing is needed."""
        return NoopCompute()


class TestNoopComputeThatTakesTime(ComputeContract):
    """In memory, as a compute behaves whose places boot."""

    @pytest.fixture
    def compute(self) -> Compute:
        """Nothing is needed."""
        return NoopCompute(looks=2)

    def test_a_place_on_its_way_is_taken_away(self, compute: Compute, amphora_id: str) -> None:
        """It never comes then, whoever asks for it still."""
        assert isinstance(compute.ensure(PlacementRequest(amphora_id)), Pending)
        compute.delete(amphora_id)
        assert compute.find(amphora_id) is None
        assert amphora_id not in compute.owned()
        with pytest.raises(AmphoraGone):
            compute.ensure(PlacementRequest(amphora_id))


def test_noop_compute_may_be_full() -> None:
    """With a bounded capacity the next amphora is refused, what is there stays, and a deletion makes room."""
    compute = NoopCompute(capacity=1)
    place(compute, "first")
    with pytest.raises(NoCapacity):
        place(compute, "second")
    assert place(compute, "first").amphora_id == "first"
    compute.delete("first")
    assert place(compute, "second").amphora_id == "second"


def test_planned_failures_strike_before_or_after_the_work() -> None:
    """A fault before leaves no place; one after leaves the place and loses the reply; other methods are not touched."""
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
