"""The queue consumer: a method for each thing that may be asked for, and one meaning for all."""

from __future__ import annotations

import inspect

from portico.intake.acceptance import Request
from portico.ports.notifier import Notice
from portico.resources.kinds import DESCRIBED
from portico.resources.operation import Action
from portico.worker import ControllerWorker
from portico.worker.queue_consumer import ASKED as ASKED_BY_NAME
from portico.worker.queue_consumer import QueueConsumer

ASKED = [
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
NOTICES = [*(request.notice("O") for request in ASKED), Notice("batch_update_members", "pool", "S")]


def build(*, free: bool) -> tuple[QueueConsumer, list[str]]:
    """A consumer of a worker with or without a free thread, and what it does."""
    done: list[str] = []

    def wake() -> bool:
        done.append("woke")
        return free

    return QueueConsumer(wake, lambda: done.append("passed on")), done


def test_every_message_lets_the_worker_look() -> None:
    """Whatever was asked for, the consumer has its method, takes its ids, and wakes the worker once."""
    for notice in NOTICES:
        consumer, done = build(free=True)
        getattr(consumer, notice.method)(notice.context, **notice.arguments)
        assert done == ["woke"], notice


def test_a_busy_worker_lets_the_others_look() -> None:
    """A message that finds no free thread is passed on to all; one that was passed on goes no further."""
    for notice in NOTICES:
        consumer, done = build(free=False)
        getattr(consumer, notice.method)(notice.context, **notice.arguments)
        assert done == ["woke", "passed on"], notice
    consumer, done = build(free=False)
    consumer.look({})
    assert done == ["woke"]


def test_messages_can_call_nothing_else() -> None:
    """A message may call any public method: there is none but these, and each is one of the controller worker's, the
    batch and ``look`` excepted."""
    consumer, _ = build(free=True)
    written = {name for name, _ in inspect.getmembers(QueueConsumer, inspect.isfunction) if not name.startswith("_")}
    wanted = {notice.method for notice in NOTICES}

    assert written == {"look"}
    assert wanted == ASKED_BY_NAME
    assert all(hasattr(ControllerWorker, name) for name in wanted - {"batch_update_members"})
    others = {name for name in (*dir(ControllerWorker), "wake", "pass_on", "target") if name[0] != "_"} - wanted
    assert not {name for name in others if hasattr(consumer, name)}
