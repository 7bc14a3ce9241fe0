"""What every notifier does."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

import pytest

from portico.drivers.in_process_notifier import InProcessNotifier
from portico.ports.notifier import Notifier

LONG = 3600.0  # seconds, more than a test may take (pytest's timeout): a wait that ends was woken


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
            thread.join(30)
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
            thread.join(30)
        assert notifier.generation() - first == 400


class TestInProcessNotifier(NotifierContract):
    """Within one process."""

    @pytest.fixture
    def notifier(self) -> Notifier:
        """Nothing is needed."""
        return InProcessNotifier()
