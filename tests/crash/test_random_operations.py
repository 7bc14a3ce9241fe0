"""Random requests, refusals, kills, pauses, cut connections and restarts, compared with a model of what must be true at
rest."""

from __future__ import annotations

import signal
import time
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from portico.errors import NotFound
from portico.intake.requests import Accepted
from portico.status import OperationState
from tests.crash.adversary import Adversary
from tests.crash.audit import let_time_pass
from tests.crash.conftest import OpenStage
from tests.crash.jobs import Stop
from tests.crash.stage import Stage, make_worker_settings
from tests.crash.workers import WorkerProcess
from tests.support.bundles import text_of
from tests.support.services import DatabaseSource, Server

PAUSE_LEASE_SECONDS = 1.0
"""The lease of workers that are paused, in real seconds, which a test waits for before it lets them continue."""
_PARENTS = {"pool": "load_balancer", "listener": "load_balancer", "member": "pool"}
_NUMBERS = {"member": "weight", "listener": "connection_limit"}
MANY = 100_000
REFUSED = 4711
"""A connection limit that every amphora refuses."""


@dataclass
class ModelObject:
    """An object in the model."""

    kind: Any
    parent: str | None
    values: dict[str, Any]
    is_deleted: bool = False
    is_refused: bool = False
    """Whether the last change requested was refused; the object then has status ERROR and its former values."""


class Deployment(RuleBasedStateMachine):
    """A deployment under random operations. Every request about an existing object must be accepted and take effect;
    only the delete of a whole load balancer can overtake operations that are queued under it."""

    def __init__(self, opening: AbstractContextManager[Stage], server: Server | None) -> None:
        super().__init__()
        self.server = server
        self._closing = ExitStack()
        self.stage = stage = self._closing.enter_context(opening)
        self.adversary = Adversary(stage.settings.database.url)
        self.objects: dict[str, ModelObject] = {}
        self.accepted: list[tuple[Accepted, str]] = []
        self.refused: dict[str, str] = {}
        stage.amphorae.refuse(lambda bundle: f"maxconn {REFUSED}\n" in text_of(bundle))
        self.paused: list[WorkerProcess] = []
        self.number = 0
        self.patient = make_worker_settings(stage.settings.database.url, max_attempts=MANY)
        self.hasty = make_worker_settings(
            stage.settings.database.url, max_attempts=MANY, lease_seconds=PAUSE_LEASE_SECONDS
        )

    # The model

    def load_balancer_of(self, object_id: str) -> str:
        """The load balancer that the object belongs to."""
        while (parent := self.objects[object_id].parent) is not None:
            object_id = parent
        return object_id

    def is_there(self, object_id: str) -> bool:
        """Whether the object exists once all operations have ended."""
        model_object = self.objects[object_id]
        return not model_object.is_deleted and (model_object.parent is None or self.is_there(model_object.parent))

    def present(self, *kinds: str) -> list[str]:
        """Ids of existing objects of these kinds, oldest first."""
        return [
            object_id
            for object_id, model_object in self.objects.items()
            if model_object.kind in kinds and self.is_there(object_id)
        ]

    # Requests

    @precondition(lambda self: len(self.present("load_balancer")) < 2)
    @rule()
    def create_load_balancer(self) -> None:
        """Request a load balancer."""
        self._create("load_balancer", None, {"name": "first"})

    @precondition(lambda self: self.present("load_balancer"))
    @rule(data=st.data())
    def create_part(self, data: st.DataObject) -> None:
        """Request a part of an object that exists or is still being built."""
        parent = data.draw(st.sampled_from(self.present("load_balancer", "pool")))
        self.number += 1
        if self.objects[parent].kind == "pool":
            values = {"address": "127.0.0.1", "protocol_port": 9000 + self.number, "weight": 1}
            self._create("member", parent, values)
        elif data.draw(st.booleans()):
            self._create("pool", parent, {"protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "name": "first"})
        else:
            self._create("listener", parent, {"protocol": "TCP", "protocol_port": 8000 + self.number})

    @precondition(lambda self: self.objects and self.present("load_balancer"))
    @rule(data=st.data(), number=st.integers(1, 200))
    def update(self, data: st.DataObject, number: int) -> None:
        """Request a change of an object that exists or is still being built."""
        object_id = data.draw(st.sampled_from(self.present("load_balancer", "pool", "listener", "member")))
        model_object = self.objects[object_id]
        column = _NUMBERS.get(model_object.kind)
        changes: dict[str, Any] = {"name": f"name {number}"} if column is None else {column: number}
        self._note(self.stage.requests.update(model_object.kind, object_id, changes), object_id)
        model_object.values |= changes
        model_object.is_refused = False

    @precondition(lambda self: self.present("listener"))
    @rule(data=st.data())
    def update_with_refused_value(self, data: st.DataObject) -> None:
        """Request a change that every amphora refuses. The changes requested with it take effect all the same."""
        object_id = data.draw(st.sampled_from(self.present("listener")))
        accepted = self.stage.requests.update("listener", object_id, {"connection_limit": REFUSED})
        self._note(accepted, object_id)
        self.refused[accepted.operation_id] = object_id
        self.objects[object_id].is_refused = True

    @precondition(lambda self: self.present("pool", "listener", "member"))
    @rule(data=st.data())
    def delete_part(self, data: st.DataObject) -> None:
        """Request the delete of a part."""
        self._delete(data.draw(st.sampled_from(self.present("pool", "listener", "member"))))

    @precondition(lambda self: len(self.objects) > 4 and self.present("load_balancer"))
    @rule(data=st.data())
    def delete_load_balancer(self, data: st.DataObject) -> None:
        """Request the delete of a whole load balancer, whatever is queued under it."""
        self._delete(data.draw(st.sampled_from(self.present("load_balancer"))))

    @precondition(lambda self: self.present("load_balancer"))
    @rule(data=st.data())
    def fail_over(self, data: st.DataObject) -> None:
        """Request a failover."""
        load_balancer_id = data.draw(st.sampled_from(self.present("load_balancer")))
        self._note(self.stage.requests.failover("load_balancer", load_balancer_id), load_balancer_id)

    # What happens to workers

    @rule(boundary=st.integers(0, 40))
    def work_and_die(self, boundary: int) -> None:
        """Let a worker run queued operations until it is killed or finished, then expire its leases and slots."""
        report = self.stage.start(stop=Stop(boundary), settings=self.patient).wait()
        assert report is None or report.error is None, report.error
        let_time_pass(self.stage.database, self.patient.worker.lease_seconds)

    @precondition(lambda self: len(self.paused) < 2)
    @rule(boundary=st.integers(0, 25))
    def work_and_pause(self, boundary: int) -> None:
        """Let a worker run queued operations until it is paused or finished."""
        worker = self.stage.start(stop=Stop(boundary, number=signal.SIGSTOP), settings=self.hasty)
        if worker.wait_until_paused() is None:
            self.paused.append(worker)

    @precondition(lambda self: self.paused)
    @rule()
    def resume(self) -> None:
        """Let a paused worker continue after its lease has expired."""
        time.sleep(PAUSE_LEASE_SECONDS)  # nothing reports that a lease has expired: its time has to pass
        worker = self.paused.pop(0)
        worker.resume()
        report = worker.wait()
        assert report is not None
        assert report.error is None, report.error

    @precondition(lambda self: self.stage.database.dialect != "sqlite")
    @rule()
    def cut_connections(self) -> None:
        """Cut every connection to the database, those of paused workers included."""
        self.adversary.cut_connections()

    @precondition(lambda self: self.server is not None)
    @rule()
    def restart_server(self) -> None:
        """Restart the database, also while workers are paused."""
        assert self.server is not None
        self.server.restart()

    # At rest

    @rule()
    def come_to_rest(self) -> None:
        """Let all paused workers continue and another worker do the rest; then the model and the rows must agree."""
        while self.paused:
            self.resume()
        let_time_pass(self.stage.database, self.patient.worker.lease_seconds)
        report = self.stage.start(settings=self.patient).wait()
        assert report is not None
        assert report.error is None, report.error
        self.stage.audit(self._check_operations())
        for object_id, model_object in self.objects.items():
            if not self.is_there(object_id):
                with pytest.raises(NotFound):
                    self.stage.catalog.show(model_object.kind, object_id)
                continue
            shown = self.stage.catalog.show(model_object.kind, object_id)
            assert shown["provisioning_status"] == ("ERROR" if model_object.is_refused else "ACTIVE")
            assert {name: shown[name] for name in model_object.values} == model_object.values

    def teardown(self) -> None:
        """Bring every run to rest at its end."""
        try:
            self.come_to_rest()
        finally:
            self._closing.close()

    def _create(self, kind: Any, parent: str | None, values: dict[str, Any]) -> None:
        accepted = self.stage.requests.create(kind, parent, **values)
        self.objects[accepted.object_id] = ModelObject(kind, parent, values)
        self._note(accepted, accepted.object_id)

    def _delete(self, object_id: str) -> None:
        self._note(self.stage.requests.delete(self.objects[object_id].kind, object_id), object_id)
        self.objects[object_id].is_deleted = True

    def _note(self, accepted: Accepted, object_id: str) -> None:
        self.accepted.append((accepted, self.load_balancer_of(object_id)))

    def _check_operations(self) -> list[str]:
        """Assert that each operation ended as it must. Return the ids of those that failed: overtaken by a delete, or
        refused."""
        failed = []
        for accepted, load_balancer_id in self.accepted:
            outcome = self.stage.requests.outcome(accepted.operation_id)
            assert outcome is not None
            refused = self.refused.get(accepted.operation_id)
            if outcome.state == OperationState.FAILED:
                failed.append(accepted.operation_id)
                if refused is None or outcome.error != "ConfigurationRefused":
                    assert self.objects[load_balancer_id].is_deleted, outcome
                    assert outcome.reason == "deleted meanwhile"
                continue
            assert outcome.state == OperationState.SUCCEEDED, outcome
            # A change that was superseded, or whose object was deleted, before a worker read it was never sent to an
            # amphora.
            assert refused is None or not (self.is_there(refused) and self.objects[refused].is_refused), outcome
        return failed


@pytest.mark.timeout(3600)  # the long run; the normal one takes seconds
def test_random_operations(
    database_kind: str, open_stage: OpenStage, database_source: DatabaseSource, all_boundaries: bool
) -> None:
    """Whatever is requested, and whatever happens to the workers meanwhile, accepted operations take effect."""
    server = database_source if isinstance(database_source, Server) else None
    examples = (10 if database_kind == "sqlite" else 2) if not all_boundaries else 60
    run_state_machine_as_test(
        cast(type[RuleBasedStateMachine], lambda: Deployment(open_stage(database_kind), server)),
        settings=settings(
            max_examples=examples,
            stateful_step_count=30 if all_boundaries else 15,
            database=None,
            derandomize=not all_boundaries,
            suppress_health_check=list(HealthCheck),
        ),
    )
