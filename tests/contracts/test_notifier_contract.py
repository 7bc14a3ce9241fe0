"""The contract that every notifier fulfils, and that of notifiers that hear of commits."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from portico.drivers.in_process_notifier import InProcessNotifier
from portico.drivers.registry import build_notifier
from portico.ports.notifier import Channel, Notice, Notifier
from portico.settings import DatabaseSettings, Settings
from tests.queue.broker import messaging
from tests.support.services import Services
from tests.support.waiting import PATIENCE, wait_until, wait_until_equal

LONG = 3600.0  # seconds; longer than pytest's timeout, so a wait that ends was woken


class Recorder:
    """A consumer that records its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
        self.looks = 0

    def look(self, context: dict[str, Any]) -> None:
        """Count the call."""
        self.looks += 1

    def create_listener(self, context: dict[str, Any], **arguments: Any) -> None:
        """Record the call."""
        self.calls.append(("create_listener", context, arguments))

    def delete_member(self, context: dict[str, Any], **arguments: Any) -> None:
        """Record the call."""
        self.calls.append(("delete_member", context, arguments))


def join(notifier: Notifier, *consumers: Recorder) -> None:
    """Subscribe consumers, and wait until messages reach all of them."""
    for consumer in consumers:
        notifier.subscribe(consumer)
    looks = [consumer.looks for consumer in consumers]

    def all_looked() -> bool:
        notifier.broadcast()
        return all(consumer.looks > before for consumer, before in zip(consumers, looks, strict=True))

    wait_until(all_looked, "a broadcast reaches every consumer")


class NotifierContract(ABC):
    """The behaviour; a subclass provides the notifier."""

    @pytest.fixture
    @abstractmethod
    def notifier(self) -> Notifier:
        """A notifier that no other test uses."""

    def test_generation_rises_with_each_notification(self, notifier: Notifier) -> None:
        """Each notification gives a higher generation."""
        seen = [notifier.generation()]
        for _ in range(3):
            notifier.notify()
            seen.append(notifier.generation())
        assert seen == sorted(set(seen))

    def test_notification_before_the_wait_is_not_missed(self, notifier: Notifier) -> None:
        """A notification between looking and waiting ends the wait immediately: no notification falls into the gap."""
        seen = notifier.generation()
        notifier.notify()
        notifier.wait(seen, LONG)
        assert notifier.generation() > seen

    def test_wait_ends_without_a_notification(self, notifier: Notifier) -> None:
        """A lost message costs no more than the given time; the generation stays the same."""
        seen = notifier.generation()
        notifier.wait(seen, 0.01)
        assert notifier.generation() == seen

    def test_every_waiting_thread_is_woken(self, notifier: Notifier) -> None:
        """One notification wakes all waiting threads, not one of them."""
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
        """Notifications from many concurrent threads all count: a reader that keeps waiting sees the last one."""
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

    def test_a_broadcast_reaches_all(self, notifier: Notifier) -> None:
        """Every consumer is made to look, and gets no other call."""
        consumers = [Recorder(), Recorder(), Recorder()]

        join(notifier, *consumers)

        assert not any(consumer.calls for consumer in consumers)

    def test_a_message_without_consumers_is_not_an_error(self, notifier: Notifier) -> None:
        """A message without consumers is not an error, and callers that wait in this process are woken."""
        seen = notifier.generation()

        notifier.announce(Notice("delete_member", "member", "M"))
        notifier.broadcast()

        notifier.wait(seen, LONG)

    def test_a_closed_notifier_ignores_messages(self, notifier: Notifier) -> None:
        """A request that ends while its process does is not an error, and neither is closing twice."""
        join(notifier, Recorder())

        notifier.close()
        notifier.announce(Notice("delete_member", "member", "M"))
        notifier.broadcast()
        notifier.wait(notifier.generation(), 0.01, also_ends=True)
        notifier.close()


class CallingContract(NotifierContract):
    """What a notifier does whose ``announce`` calls a consumer."""

    def test_transactions_announce_nothing(self, notifier: Notifier) -> None:
        """Its traits declare this, so the store sends no notices itself."""
        assert not notifier.traits.hears_commits

    def test_an_announcement_reaches_a_consumer_as_a_call(self, notifier: Notifier) -> None:
        """The consumer's method with that name is called with the ids, and with the request's id in its context."""
        consumer = Recorder()
        join(notifier, consumer)

        notifier.announce(Notice("create_listener", "listener", "L", "O", "req-1"))
        notifier.announce(Notice("delete_member", "member", "M"))

        wait_until_equal(lambda: len(consumer.calls), 2, "both were called")
        (first, context, arguments), (second, _, others) = consumer.calls
        assert (first, arguments) == ("create_listener", {"listener_id": "L", "operation_id": "O"})
        assert context["request_id"] == "req-1"
        assert (second, others) == ("delete_member", {"member_id": "M", "operation_id": None})

    def test_consumers_share_announcements(self, notifier: Notifier) -> None:
        """Each announcement reaches exactly one consumer, and none of them gets all."""
        consumers = [Recorder(), Recorder()]
        join(notifier, *consumers)

        for number in range(40):
            notifier.announce(Notice("delete_member", "member", str(number)))

        wait_until(lambda: sum(len(consumer.calls) for consumer in consumers) >= 40, "all were called")
        ids = [arguments["member_id"] for consumer in consumers for _, _, arguments in consumer.calls]
        assert sorted(ids, key=int) == [str(number) for number in range(40)]
        assert all(consumer.calls for consumer in consumers)

    def test_an_unsubscribed_consumer_gets_no_calls(self, notifier: Notifier) -> None:
        """The other consumers get its share."""
        leaving_consumer, staying_consumer = Recorder(), Recorder()
        join(notifier, leaving_consumer, staying_consumer)

        notifier.unsubscribe(leaving_consumer)

        def all_go_to_the_other() -> bool:
            mark = uuid4().hex
            for _ in range(10):
                notifier.announce(Notice("delete_member", "member", mark))
            heard = 0
            for _ in range(100):
                heard = [arguments["member_id"] for _, _, arguments in staying_consumer.calls].count(mark)
                if heard == 10:
                    break
                # One second at most: notices that were sent to the consumer that left are lost, and ten others are
                # sent.
                time.sleep(0.01)
            return heard == 10

        wait_until(all_go_to_the_other, "all go to the remaining consumer")


class TestInProcessNotifier(CallingContract):
    """Within one process."""

    @pytest.fixture
    def notifier(self) -> Notifier:
        """Needs nothing."""
        return InProcessNotifier()


class TestMessagingNotifier(CallingContract):
    """Through RabbitMQ."""

    @pytest.fixture
    def notifier(self, services: Services) -> Iterator[Notifier]:
        """A notifier with a topic of its own."""
        notifier = build_notifier(Settings(messaging=messaging(services.rabbitmq.url)))
        yield notifier
        notifier.close()


@pytest.mark.database("postgresql")
class TestPostgresqlNotifier(NotifierContract):
    """Through PostgreSQL, whose transactions announce."""

    @pytest.fixture
    def notifier(self, database_url: str) -> Iterator[Notifier]:
        """A notifier on a database of its own, without tables."""
        notifier = build_notifier(Settings(database=DatabaseSettings(url=database_url)))
        yield notifier
        notifier.close()

    @pytest.fixture
    def connection(self, database_url: str) -> Iterator[psycopg.Connection]:
        """The connection of another process."""
        with psycopg.connect(database_url.replace("+psycopg", "", 1)) as connection:
            yield connection

    def test_it_hears_of_commits(self, notifier: Notifier) -> None:
        """Its traits declare this, so the store sends the notices within its transactions."""
        assert notifier.traits.hears_commits

    def test_a_commit_makes_every_consumer_look(self, notifier: Notifier, connection: psycopg.Connection) -> None:
        """Consumers look after the commit and not before, whichever connection commits; they get no other call."""
        consumers = [Recorder(), Recorder()]
        join(notifier, *consumers)
        settle(notifier, consumers[0])
        looks = [consumer.looks for consumer in consumers]

        send(connection, Channel.WORK)
        assert looks == [consumer.looks for consumer in consumers]
        connection.commit()

        wait_until(
            lambda: all(one.looks > before for one, before in zip(consumers, looks, strict=True)), "both have looked"
        )
        assert not any(consumer.calls for consumer in consumers)

    def test_a_rolled_back_message_is_not_received(self, notifier: Notifier, connection: psycopg.Connection) -> None:
        """The second, committed message arrives; the first one would have arrived before it."""
        consumer = Recorder()
        join(notifier, consumer)
        settle(notifier, consumer)
        looks = consumer.looks

        send(connection, Channel.WORK)
        connection.rollback()
        connection.execute("SELECT 1")
        send(connection, Channel.WORK)
        connection.commit()

        wait_until(lambda: consumer.looks > looks, "the second was heard")
        assert consumer.looks == looks + 1

    def test_ended_operations_wake_callers_and_no_consumer(
        self, notifier: Notifier, connection: psycopg.Connection
    ) -> None:
        """A caller that waits for an operation of another process is woken when it ends; workers are not."""
        consumer = Recorder()
        join(notifier, consumer)
        # The first wait starts listening, which wakes once.
        notifier.wait(notifier.generation(), LONG, also_ends=True)
        settle(notifier, consumer)
        looks, seen = consumer.looks, notifier.generation()

        send(connection, Channel.ENDED)
        connection.commit()

        notifier.wait(seen, LONG, also_ends=True)
        assert consumer.looks == looks

    def test_an_unsubscribed_consumer_does_not_look(self, notifier: Notifier) -> None:
        """The remaining consumers still look."""
        leaving_consumer, staying_consumer = Recorder(), Recorder()
        join(notifier, leaving_consumer, staying_consumer)
        settle(notifier, staying_consumer)
        notifier.unsubscribe(leaving_consumer)
        looks, left = staying_consumer.looks, leaving_consumer.looks

        notifier.broadcast()

        wait_until(lambda: staying_consumer.looks > looks, "the remaining consumer has looked")
        assert leaving_consumer.looks == left

    def test_closing_makes_the_other_consumers_look(self, notifier: Notifier, database_url: str) -> None:
        """Something may be left that the closing worker would have done next."""
        staying_consumer = Recorder()
        join(notifier, staying_consumer)
        leaving = build_notifier(Settings(database=DatabaseSettings(url=database_url)))
        join(leaving, Recorder())
        settle(notifier, staying_consumer)
        looks = staying_consumer.looks

        leaving.close()

        wait_until(lambda: staying_consumer.looks > looks, "the remaining consumer has looked")


def send(connection: psycopg.Connection, channel: Channel) -> None:
    """Send a message within the transaction."""
    connection.execute("SELECT pg_notify(%s, 'L')", [channel])


def settle(notifier: Notifier, consumer: Recorder) -> None:
    """Wait until all broadcasts on their way have arrived. They are sent one by one, because several can be merged into
    one."""
    quiet = 0
    while quiet < 3:
        looks = consumer.looks
        notifier.broadcast()
        wait_until(lambda before=looks: consumer.looks > before, "a broadcast arrives")  # type: ignore[misc]
        time.sleep(0.2)  # if that look was caused by an earlier broadcast, others are still to come
        quiet = quiet + 1 if consumer.looks == looks + 1 else 0
