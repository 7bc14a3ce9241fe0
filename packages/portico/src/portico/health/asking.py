"""Asking amphorae for statistics: many at a time, each for a bounded time, and slow ones do not delay the others."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from queue import Empty, SimpleQueue
from threading import Event
from typing import Generic, Protocol, TypeVar

import structlog

from portico.errors import DriverError
from portico.ports.amphora import Amphorae, Endpoint
from portico.settings import HealthSettings
from portico_wire import Statistics

log = structlog.get_logger()
LONGEST_PAUSE = 5
"""Maximum number of polls for which an agent or amphora that does not answer is left alone."""
_SUSPECT_THREADS = 2
_FAILURES_OF_AN_AGENT = 2
"""After this many amphorae in a row that cannot be asked, the agent itself counts as not answering."""


class Askable(Protocol):
    """An amphora to ask, and where its agent listens."""

    @property
    def amphora_id(self) -> str:
        """The amphora's id."""

    @property
    def agent_url(self) -> str:
        """The URL of its agent."""


A = TypeVar("A", bound=Askable)


class _Patience:
    """How often in a row an agent or amphora has not answered, and until when it is left alone."""

    def __init__(self, what: str, name: str, settings: HealthSettings) -> None:
        self._what = what
        self._name = name
        self._settings = settings
        self._misses = 0
        self._not_before = 0.0
        self.is_busy = False

    @property
    def is_suspect(self) -> bool:
        """Whether it did not answer the last time."""
        return self._misses > 0

    def is_due(self) -> bool:
        """Whether to ask it now."""
        return not self.is_busy and time.monotonic() >= self._not_before

    def note_answer(self) -> None:
        """Note that it has answered."""
        if self._misses >= self._settings.misses:
            log.info("answers again", **{self._what: self._name})
        self._misses, self._not_before = 0, 0.0

    def note_miss(self, error: DriverError) -> None:
        """Note that it has not answered: the pause before it is asked again grows."""
        pause = min(LONGEST_PAUSE, 2**self._misses) - 1
        self._misses += 1
        self._not_before = time.monotonic() + pause * self._settings.poll_seconds
        if self._misses == self._settings.misses:
            log.warning("does not answer: its statuses stay unchanged", reason=str(error), **{self._what: self._name})


class Asker(Generic[A]):
    """Asks amphorae for what they have counted and found.

    One thread at a time talks to an agent, and asks about its amphorae one after the other. An agent that did not
    answer is asked less and less often, by threads that are reserved for such agents.

    Args:
        find: returns how to reach an amphora; raises DriverError, which counts as no answer.
        amphorae: answers within ``settings.request_seconds``, or raises.
        settings: intervals, timeouts and numbers of tries.
    """

    def __init__(self, find: Callable[[A], Endpoint], amphorae: Amphorae, settings: HealthSettings) -> None:
        self._find = find
        self._amphorae = amphorae
        self._settings = settings
        self._agents: dict[str, _Patience] = {}
        self._each: dict[str, _Patience] = {}
        self._answers: SimpleQueue[Statistics] = SimpleQueue()
        self._closing = Event()
        self._threads = ThreadPoolExecutor(settings.threads, "health")
        self._suspect_threads = ThreadPoolExecutor(_SUSPECT_THREADS, "health-suspects")

    def ask(self, targets: Iterable[A]) -> dict[str, Statistics]:
        """Return the answers that have come by now, by amphora; those of slow agents come with a later call. Takes as
        long as the agents that answered the last time need, ``poll_seconds`` at most."""
        due: dict[str, list[A]] = defaultdict(list)
        known: set[str] = set()
        for target in targets:
            known.add(target.amphora_id)
            due[target.agent_url].append(target)
        self._forget(set(due), known)
        awaited = []
        for agent_url, of_agent in due.items():
            agent = self._agents.setdefault(agent_url, _Patience("agent", agent_url, self._settings))
            if not agent.is_due():
                continue
            agent.is_busy = True
            if agent.is_suspect:
                self._suspect_threads.submit(self._ask_agent, agent, of_agent)
            else:
                awaited.append(self._threads.submit(self._ask_agent, agent, of_agent))
        wait(awaited, self._settings.poll_seconds)
        return self._collect(known)

    def close(self) -> None:
        """Ask nothing more, and wait for the requests that are under way, which are bounded in time."""
        self._closing.set()
        for threads in (self._threads, self._suspect_threads):
            threads.shutdown(cancel_futures=True)

    def _collect(self, known: set[str]) -> dict[str, Statistics]:
        answers: dict[str, Statistics] = {}
        while True:
            try:
                answer = self._answers.get_nowait()
            except Empty:
                return answers
            if answer.amphora_id in known:
                answers[answer.amphora_id] = answer

    def _forget(self, agents: set[str], amphorae: set[str]) -> None:
        for agent_url in [url for url, agent in self._agents.items() if url not in agents and not agent.is_busy]:
            del self._agents[agent_url]
        for amphora_id in set(self._each) - amphorae:  # a copy: threads write to it
            self._each.pop(amphora_id, None)

    def _ask_agent(self, agent: _Patience, targets: list[A]) -> None:
        missed: list[tuple[str, DriverError]] = []
        failures, has_answered = 0, False
        try:
            for target in targets:
                patience = self._each.get(target.amphora_id)
                if self._closing.is_set() or failures >= _FAILURES_OF_AN_AGENT:
                    break
                if patience is not None and not patience.is_due():
                    continue
                try:
                    self._answers.put(self._amphorae.statistics(self._find(target)))
                except DriverError as error:
                    missed.append((target.amphora_id, error))
                    failures = failures + 1 if error.transient else 0
                    has_answered = has_answered or not error.transient
                else:
                    failures, has_answered = 0, True
                    if patience is not None:
                        patience.note_answer()
                        self._each.pop(target.amphora_id, None)
            self._judge(agent, missed, has_answered=has_answered)
        except Exception:  # a defect costs this agent's answers, not the thread
            log.exception("an agent could not be asked")
        finally:
            agent.is_busy = False

    def _judge(self, agent: _Patience, missed: list[tuple[str, DriverError]], *, has_answered: bool) -> None:
        """If an agent answers for some of its amphorae, leave alone only those for which it does not."""
        if has_answered:
            agent.note_answer()
        elif missed:
            agent.note_miss(missed[-1][1])
            return
        for amphora_id, error in missed:
            self._each.setdefault(amphora_id, _Patience("amphora", amphora_id, self._settings)).note_miss(error)
