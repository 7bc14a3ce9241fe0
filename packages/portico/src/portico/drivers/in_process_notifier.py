"""Notifier within one process: wakes the workers and waiting callers of this process only."""

from __future__ import annotations

import threading

from portico.ports.notifier import Consumer, Notice, NotifierTraits


class InProcessNotifier:
    """Calls the consumers of this process. Other processes are not notified and find their work by polling."""

    traits = NotifierTraits(hears_commits=False)

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._generation = 0
        self._consumers: list[Consumer] = []

    def announce(self, notice: Notice) -> None:
        """Call one consumer, round robin, in the caller's thread. The consumer wakes its own waiters."""
        with self._changed:
            consumer = self._consumers.pop(0) if self._consumers else None
            if consumer is not None:
                self._consumers.append(consumer)
        if consumer is None:
            self.notify()
        else:
            getattr(consumer, notice.method)(notice.context, **notice.arguments)

    def broadcast(self) -> None:
        """Call every consumer, in the caller's thread."""
        with self._changed:
            consumers = list(self._consumers)
        for consumer in consumers:
            consumer.look({})

    def subscribe(self, consumer: Consumer) -> None:
        """Call this consumer too, from now on."""
        with self._changed:
            self._consumers.append(consumer)

    def unsubscribe(self, consumer: Consumer) -> None:
        """Stop calling this consumer."""
        with self._changed:
            if consumer in self._consumers:
                self._consumers.remove(consumer)

    def notify(self) -> None:
        """Wake every waiter."""
        with self._changed:
            self._generation += 1
            self._changed.notify_all()

    def generation(self) -> int:
        """Return the number of notifications so far."""
        with self._changed:
            return self._generation

    def wait(self, seen: int, seconds: float, *, also_ends: bool = False) -> None:  # noqa: ARG002 - hears no others
        """Return once there were more notifications than ``seen``, or after ``seconds``."""
        with self._changed:
            self._changed.wait_for(lambda: self._generation > seen, seconds)

    def close(self) -> None:
        """Forget the consumers."""
        with self._changed:
            self._consumers.clear()
