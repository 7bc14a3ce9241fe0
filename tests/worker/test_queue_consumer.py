"""The queue consumer: it has a method for each kind of request, and all of them wake the worker."""

from __future__ import annotations

import inspect

from portico.intake.acceptance import Request
from portico.ports.notifier import Notice
from portico.resources.kinds import DESCRIBED
from portico.resources.operation import Action
from portico.worker import ControllerWorker
from portico.worker.queue_consumer import ASKED as ASKED_BY_NAME
from portico.worker.queue_consumer import QueueConsumer

REQUESTS = [
    *(
        Request(action, kind.name, "S", request_id="R")
        for kind in DESCRIBED
        for action in Action
        if action != Action.FAILOVER
    ),
    Request(Action.FAILOVER, "load_balancer", "S"),
    Request(Action.FAILOVER, "amphora", "S"),
    Request(Action.DELETE, "amphora", "S"),
]
NOTICES = [*(request.notice("O") for request in REQUESTS), Notice("batch_update_members", "pool", "S")]


def build(*, free: bool) -> tuple[QueueConsumer, list[str]]:
    """Build a consumer of a worker with or without a free thread. Return it and the list of its actions."""
    done: list[str] = []

    def wake() -> bool:
        done.append("woke")
        return free

    return QueueConsumer(wake, lambda: done.append("passed on")), done


def test_every_message_wakes_the_worker() -> None:
    """The consumer has a method for each kind of request, which accepts the request's ids and wakes the worker once."""
    for notice in NOTICES:
        consumer, done = build(free=True)
        getattr(consumer, notice.method)(notice.context, **notice.arguments)
        assert done == ["woke"], notice


def test_a_busy_worker_passes_messages_on() -> None:
    """A message that finds no free thread is passed on to all workers. A message that was passed on is not passed on
    again."""
    for notice in NOTICES:
        consumer, done = build(free=False)
        getattr(consumer, notice.method)(notice.context, **notice.arguments)
        assert done == ["woke", "passed on"], notice
    consumer, done = build(free=False)
    consumer.look({})
    assert done == ["woke"]


def test_messages_can_call_nothing_else() -> None:
    """A message can call any public method, so there are no others, and each, except the batch and ``look``, is a
    method of the controller worker."""
    consumer, _ = build(free=True)
    written = {name for name, _ in inspect.getmembers(QueueConsumer, inspect.isfunction) if not name.startswith("_")}
    wanted = {notice.method for notice in NOTICES}

    assert written == {"look"}
    assert wanted == ASKED_BY_NAME
    assert all(hasattr(ControllerWorker, name) for name in wanted - {"batch_update_members"})
    others = {name for name in (*dir(ControllerWorker), "wake", "pass_on", "target") if name[0] != "_"} - wanted
    assert not {name for name in others if hasattr(consumer, name)}
