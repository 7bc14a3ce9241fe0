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
from portico.ports.compute import Compute
from tests.contracts.conftest import AgentHost


@pytest.fixture
def amphora_id() -> str:
    """An id that nothing has yet."""
    return str(uuid.uuid4())


class ComputeContract(ABC):
    """The behaviour; a subclass gives the compute, which may hold amphorae of others."""

    @pytest.fixture
    @abstractmethod
    def compute(self) -> Compute:
        """The compute under test."""

    def test_place_is_made_once(self, compute: Compute, amphora_id: str) -> None:
        """Asking again after a lost reply finds the place that the first try made."""
        place = compute.ensure(amphora_id)
        assert compute.ensure(amphora_id) == place
        assert compute.find(amphora_id) == place

    def test_place_says_where_it_is(self, compute: Compute, amphora_id: str) -> None:
        """A placement names its amphora, its place, its agent and an address."""
        place = compute.ensure(amphora_id)
        assert place.amphora_id == amphora_id
        assert place.compute_id
        assert urlsplit(place.agent_url).scheme
        assert str(ip_address(place.lb_network_ip)) == place.lb_network_ip

    def test_what_was_never_placed_is_not_found(self, compute: Compute, amphora_id: str) -> None:
        """Looking makes nothing."""
        assert compute.find(amphora_id) is None
        assert amphora_id not in compute.owned()

    def test_owned_names_every_amphora(self, compute: Compute) -> None:
        """What has a place here is found by its owner's id, until it is deleted."""
        first, second = str(uuid.uuid4()), str(uuid.uuid4())
        before = compute.owned()
        compute.ensure(first)
        compute.ensure(second)
        assert compute.owned() - before == {first, second}
        compute.delete(first)
        assert compute.owned() - before == {second}

    def test_delete_twice(self, compute: Compute, amphora_id: str) -> None:
        """Deleting what is not there any more is no error."""
        compute.ensure(amphora_id)
        compute.delete(amphora_id, drain_seconds=0.5)
        compute.delete(amphora_id)
        assert compute.find(amphora_id) is None

    def test_deleted_amphora_stays_deleted(self, compute: Compute, amphora_id: str) -> None:
        """A worker that slept through the deletion cannot bring the amphora back."""
        compute.ensure(amphora_id)
        compute.delete(amphora_id)
        with pytest.raises(AmphoraGone):
            compute.ensure(amphora_id)
        assert amphora_id not in compute.owned()

    def test_deletion_may_come_before_the_making(self, compute: Compute, amphora_id: str) -> None:
        """Nor can a worker make an amphora whose deletion overtook it."""
        compute.delete(amphora_id)
        with pytest.raises(AmphoraGone):
            compute.ensure(amphora_id)

    def test_workers_that_race_share_the_place(self, compute: Compute, amphora_id: str) -> None:
        """Two workers at the same amphora get the same place, and there is one."""
        before = compute.owned()
        with ThreadPoolExecutor(4) as pool:
            places = set(pool.map(compute.ensure, [amphora_id] * 12))
        assert len(places) == 1
        assert compute.owned() - before == {amphora_id}


class TestLocalCompute(ComputeContract):
    """Through the agent of this host."""

    @pytest.fixture
    def compute(self, agent_host: AgentHost) -> Compute:
        """A running agent is needed."""
        return LocalCompute(agent_host.client, agent_host.agent.url)


class TestNoopCompute(ComputeContract):
    """In memory."""

    @pytest.fixture
    def compute(self) -> Compute:
        """Nothing is needed."""
        return NoopCompute()


def test_noop_compute_may_be_full() -> None:
    """With a bounded capacity the next amphora is refused, what is there stays, and a deletion makes room."""
    compute = NoopCompute(capacity=1)
    compute.ensure("first")
    with pytest.raises(NoCapacity):
        compute.ensure("second")
    assert compute.ensure("first").amphora_id == "first"
    compute.delete("first")
    assert compute.ensure("second").amphora_id == "second"


def test_planned_failures_strike_before_or_after_the_work() -> None:
    """A fault before leaves no place; one after leaves the place and loses the reply; other methods are not touched."""
    compute = NoopCompute()
    compute.fail_next("ensure", DriverUnavailable("before"))
    with pytest.raises(DriverUnavailable, match="before"):
        compute.ensure("amphora")
    assert compute.owned() == frozenset()
    compute.fail_next("ensure", DriverUnavailable("after"), lost_reply=True)
    with pytest.raises(DriverUnavailable, match="after"):
        compute.ensure("amphora")
    assert compute.owned() == {"amphora"}
    assert compute.ensure("amphora") == compute.find("amphora")
