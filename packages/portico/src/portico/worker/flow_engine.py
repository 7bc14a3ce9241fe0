"""TaskFlow engines, set up in one place."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from taskflow import engines, states
from taskflow.listeners.base import Listener
from taskflow.patterns.linear_flow import Flow
from taskflow.persistence.models import FlowDetail

from portico.resources.row import new_id
from portico.worker.flow_state import Unstored

TaskEvent = Callable[[str, str, str], None]
"""Called with (flow, task, TaskFlow's state) at each task boundary."""
_REPORTED = (states.RUNNING, states.SUCCESS, states.FAILURE, states.REVERTED, states.REVERT_FAILURE)


class FlowEngine:
    """Runs flows on TaskFlow engines that share one thread pool.

    The pool is shared because a parallel engine that creates its own costs a second per run. Flow state lives in
    memory: an interrupted run starts again from the beginning, which is safe because tasks are idempotent.

    Args:
        threads: size of the pool.
        on_task: called at each task boundary; tests stop a process there.
    """

    def __init__(self, threads: int, on_task: TaskEvent | None = None) -> None:
        self._executor = _Executor(max_workers=threads)
        self._backend = Unstored()
        self._on_task = on_task

    def run_flow(self, flow: Flow, timeline: list[Any]) -> None:
        """Run a flow to its end; if it fails, everything that it had acquired has been reverted when this returns.

        Args:
            flow: a fresh flow.
            timeline: receives ``[task, state, milliseconds]`` for each task boundary.

        Raises:
            The error of the first task that failed.
        """
        state = FlowDetail(flow.name, new_id())
        engine = engines.load(
            flow, flow_detail=state, backend=self._backend, engine="parallel", executor=self._executor
        )
        with _Timeline(engine, flow.name, timeline, self._on_task):
            engine.run()

    def close(self) -> None:
        """Stop the pool once its tasks have ended."""
        self._executor.shutdown()


class _Executor(ThreadPoolExecutor):
    """Runs tasks with the ids for the log that are bound where their flow is run."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(copy_context().run, fn, *args, **kwargs)


class _Timeline(Listener):
    def __init__(self, engine: Any, flow: str, timeline: list[Any], on_task: TaskEvent | None) -> None:
        super().__init__(engine, task_listen_for=_REPORTED, flow_listen_for=(), retry_listen_for=())
        self._flow = flow
        self._timeline = timeline
        self._on_task = on_task
        self._start = time.monotonic()

    def _task_receiver(self, state: str, details: dict[str, Any]) -> None:
        name = details["task_name"]
        self._timeline.append([name, state, round((time.monotonic() - self._start) * 1000, 1)])
        if self._on_task is not None:
            self._on_task(self._flow, name, state)
