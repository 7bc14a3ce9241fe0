"""What every notifier does."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from portico.drivers.in_process_notifier import InProcessNotifier
from portico.drivers.registry import build_notifier
from portico.ports.notifier import Notice, Notifier
from portico.settings import Settings
from tests.queue.broker import messaging
from tests.support.services import Services
from tests.support.waiting import PATIENCE, wait_until, wait_until_equal

LONG = 3600.0  # seconds, more than a test may take (pytest's timeout): a wait that ends was woken


class Recorder:
    """A consumer that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
        self.looks = 0

    def look(self, context: dict[str, Any]) -> None:
        """Count."""
        self.looks += 1

    def create_listener(self, context: dict[str, Any], **arguments: Any) -> None:
        """Remember."""
        self.told.append(("create_listener", context, arguments))

    def delete_member(self, context: dict[str, Any], **arguments: Any) -> None:
        """Remember."""
        self.told.append(("delete_member", context, arguments))


def join(notifier: Notifier, *consumers: Recorder) -> None:
    """Subscribe consumers, and wait until messages reach them all."""
    for consumer in consumers:
        notifier.subscribe(consumer)
    looks = [consumer.looks for consumer in consumers]

    def all_looked() -> bool:
        notifier.broadcast()
        return all(consumer.looks > before for consumer, before in zip(consumers, looks, strict=True))

    wait_until(all_looked, "a broadcast reaches every consumer")


class NotifierContract(ABC):
    """The behaviour; a subclass gives the notifier."""

    @pytest.fixture
    @abstractmethod
    def notifier(self) -> Notifier:
        """A notifier that nobody else uses."""

    def test_generation_rises_with_each_notification(self, notifier: Notifier) -> None:
        """Each notification gives a higher generation."""
        seen = [notifier.generation()]
        for _ in range(3):
            notifier.notify()
            seen.append(notifier.generation())
        assert seen == sorted(set(seen))

    def test_notification_before_the_wait_is_not_missed(self, notifier: Notifier) -> None:
        """What happens between looking and waiting ends the wait at once: nothing falls into the gap."""
        seen = notifier.generation()
        notifier.notify()
        notifier.wait(seen, LONG)
        assert notifier.generation() > seen

    def test_wait_ends_without_a_notification(self, notifier: Notifier) -> None:
        """A lost message costs the time given and no more; the generation stays."""
        seen = notifier.generation()
        notifier.wait(seen, 0.01)
        assert notifier.generation() == seen

    def test_everyone_who_waits_is_woken(self, notifier: Notifier) -> None:
        """One notification wakes all threads that wait, not one of them."""
        seen = notifier.generation()
        woken = []

        def wait() -> None:
            notifier.wait(seen, LONG)
            woken.append(notifier.generation())

        threads = [threading.Thread(target=wait, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        notifier.notify()
        for thread in threads:
            thread.join(PATIENCE)
        assert len(woken) == 4
        assert min(woken) > seen

    def test_no_notification_is_lost_between_threads(self, notifier: Notifier) -> None:
        """Notifications from many threads at once all count: a reader that always waits sees the last."""
        first = notifier.generation()

        def notify() -> None:
            for _ in range(100):
                notifier.notify()

        threads = [threading.Thread(target=notify) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert notifier.generation() - first == 400

    def test_an_announcement_reaches_a_consumer_as_a_call(self, notifier: Notifier) -> None:
        """The consumer's method of that name is called with the ids, and with the request's in its context."""
        consumer = Recorder()
        join(notifier, consumer)

        notifier.announce(Notice("create_listener", "listener", "L", "O", "req-1"))
        notifier.announce(Notice("delete_member", "member", "M"))

        wait_until_equal(lambda: len(consumer.told), 2, "both were told")
        (first, context, arguments), (second, _, others) = consumer.told
        assert (first, arguments) == ("create_listener", {"listener_id": "L", "operation_id": "O"})
        assert context["request_id"] == "req-1"
        assert (second, others) == ("delete_member", {"member_id": "M", "operation_id": None})

    def test_consumers_share_what_is_announced(self, notifier: Notifier) -> None:
        """Each announcement reaches one of them; none gets all."""
        consumers = [Recorder(), Recorder()]
        join(notifier, *consumers)

        for number in range(40):
            notifier.announce(Notice("delete_member", "member", str(number)))

        wait_until(lambda: sum(len(consumer.told) for consumer in consumers) >= 40, "all were told")
        ids = [arguments["member_id"] for consumer in consumers for _, _, arguments in consumer.told]
        assert sorted(ids, key=int) == [str(number) for number in range(40)]
        assert all(consumer.told for consumer in consumers)

    def test_a_broadcast_reaches_all(self, notifier: Notifier) -> None:
        """Every consumer is made to look, and told nothing."""
        consumers = [Recorder(), Recorder(), Recorder()]

        join(notifier, *consumers)

        assert not any(consumer.told for consumer in consumers)

    def test_whoever_leaves_is_told_no_more(self, notifier: Notifier) -> None:
        """The others get its share."""
        leaver, stayer = Recorder(), Recorder()
        join(notifier, leaver, stayer)

        notifier.unsubscribe(leaver)

        def all_go_to_the_other() -> bool:
            mark = uuid4().hex
            for _ in range(10):
                notifier.announce(Notice("delete_member", "member", mark))
            heard = 0
            for _ in range(100):
                heard = [arguments["member_id"] for _, _, arguments in stayer.told].count(mark)
                if heard == 10:
                    break
                # One second at most: those that went to the one who left are lost, and ten others are sent.
                time.sleep(0.01)
            return heard == 10

        wait_until(all_go_to_the_other, "all go to the one who stays")

    def test_nobody_need_be_there(self, notifier: Notifier) -> None:
        """What nobody takes is no error; whoever waits in this process is woken."""
        seen = notifier.generation()

        notifier.announce(Notice("delete_member", "member", "M"))
        notifier.broadcast()

        notifier.wait(seen, LONG)

    def test_a_closed_notifier_takes_what_is_said_and_does_nothing(self, notifier: Notifier) -> None:
        """A request that ends while its process does is no error; closing twice is none either."""
        join(notifier, Recorder())

        notifier.close()
        notifier.announce(Notice("delete_member", "member", "M"))
        notifier.broadcast()
        notifier.close()


class TestInProcessNotifier(NotifierContract):
    """Within one process."""

    @pytest.fixture
    def notifier(self) -> Notifier:
        """Nothing is needed."""
        return InProcessNotifier()


class TestMessagingNotifier(NotifierContract):
    """Through RabbitMQ."""

    @pytest.fixture
    def notifier(self, services: Services) -> Iterator[Notifier]:
        """A topic of its own."""
        notifier = build_notifier(Settings(messaging=messaging(services.rabbitmq.url)))
        yield notifier
        notifier.close()
