"""What every notifier does, and what those do that hear of commits."""

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

    def test_a_broadcast_reaches_all(self, notifier: Notifier) -> None:
        """Every consumer is made to look, and told nothing."""
        consumers = [Recorder(), Recorder(), Recorder()]

        join(notifier, *consumers)

        assert not any(consumer.told for consumer in consumers)

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
        notifier.wait(notifier.generation(), 0.01, also_ends=True)
        notifier.close()


class CallingContract(NotifierContract):
    """What a notifier does whose ``announce`` tells a consumer."""

    def test_transactions_announce_nothing(self, notifier: Notifier) -> None:
        """It says so itself: the store then sends nothing."""
        assert not notifier.traits.hears_commits

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


class TestInProcessNotifier(CallingContract):
    """Within one process."""

    @pytest.fixture
    def notifier(self) -> Notifier:
        """Nothing is needed."""
        return InProcessNotifier()


class TestMessagingNotifier(CallingContract):
    """Through RabbitMQ."""

    @pytest.fixture
    def notifier(self, services: Services) -> Iterator[Notifier]:
        """A topic of its own."""
        notifier = build_notifier(Settings(messaging=messaging(services.rabbitmq.url)))
        yield notifier
        notifier.close()


@pytest.mark.database("postgresql")
class TestPostgresqlNotifier(NotifierContract):
    """Through PostgreSQL, whose transactions announce."""

    @pytest.fixture
    def notifier(self, database_url: str) -> Iterator[Notifier]:
        """A database of its own, without a table."""
        notifier = build_notifier(Settings(database=DatabaseSettings(url=database_url)))
        yield notifier
        notifier.close()

    @pytest.fixture
    def connection(self, database_url: str) -> Iterator[psycopg.Connection]:
        """The connection of another process."""
        with psycopg.connect(database_url.replace("+psycopg", "", 1)) as connection:
            yield connection

    def test_it_hears_of_commits(self, notifier: Notifier) -> None:
        """It says so itself: the store then sends what there is to say."""
        assert notifier.traits.hears_commits

    def test_a_commit_makes_every_consumer_look(self, notifier: Notifier, connection: psycopg.Connection) -> None:
        """Not before it, and whoever's transaction it was; nobody is told more than that."""
        consumers = [Recorder(), Recorder()]
        join(notifier, *consumers)
        settle(notifier, consumers[0])
        looks = [consumer.looks for consumer in consumers]

        say(connection, Channel.WORK)
        assert looks == [consumer.looks for consumer in consumers]
        connection.commit()

        wait_until(
            lambda: all(one.looks > before for one, before in zip(consumers, looks, strict=True)), "both have looked"
        )
        assert not any(consumer.told for consumer in consumers)

    def test_what_is_rolled_back_is_not_heard(self, notifier: Notifier, connection: psycopg.Connection) -> None:
        """What comes later is: by then, the other would have come."""
        consumer = Recorder()
        join(notifier, consumer)
        settle(notifier, consumer)
        looks = consumer.looks

        say(connection, Channel.WORK)
        connection.rollback()
        connection.execute("SELECT 1")
        say(connection, Channel.WORK)
        connection.commit()

        wait_until(lambda: consumer.looks > looks, "the second was heard")
        assert consumer.looks == looks + 1

    def test_ends_wake_callers_and_no_consumer(self, notifier: Notifier, connection: psycopg.Connection) -> None:
        """A caller that waits for what another process does is woken when that is done; workers are left alone."""
        consumer = Recorder()
        join(notifier, consumer)
        # The first wait begins to listen, and its beginning wakes once.
        notifier.wait(notifier.generation(), LONG, also_ends=True)
        settle(notifier, consumer)
        looks, seen = consumer.looks, notifier.generation()

        say(connection, Channel.ENDED)
        connection.commit()

        notifier.wait(seen, LONG, also_ends=True)
        assert consumer.looks == looks

    def test_whoever_leaves_looks_no_more(self, notifier: Notifier) -> None:
        """The others do."""
        leaver, stayer = Recorder(), Recorder()
        join(notifier, leaver, stayer)
        settle(notifier, stayer)
        notifier.unsubscribe(leaver)
        looks, left = stayer.looks, leaver.looks

        notifier.broadcast()

        wait_until(lambda: stayer.looks > looks, "the one who stays has looked")
        assert leaver.looks == left

    def test_whoever_closes_lets_the_others_look(self, notifier: Notifier, database_url: str) -> None:
        """Something may be waiting that a worker which ends meant to do next."""
        stayer = Recorder()
        join(notifier, stayer)
        leaving = build_notifier(Settings(database=DatabaseSettings(url=database_url)))
        join(leaving, Recorder())
        settle(notifier, stayer)
        looks = stayer.looks

        leaving.close()

        wait_until(lambda: stayer.looks > looks, "the one who stays has looked")


def say(connection: psycopg.Connection, channel: Channel) -> None:
    """Announce something within the transaction."""
    connection.execute("SELECT pg_notify(%s, 'L')", [channel])


def settle(notifier: Notifier, consumer: Recorder) -> None:
    """Wait until all broadcasts that are under way have arrived: one by one, as they may become one."""
    quiet = 0
    while quiet < 3:
        looks = consumer.looks
        notifier.broadcast()
        wait_until(lambda before=looks: consumer.looks > before, "a broadcast arrives")  # type: ignore[misc]
        quiet = quiet + 1 if consumer.looks == looks + 1 else 0
