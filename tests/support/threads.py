"""Calls in many simultaneous threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from tests.support.waiting import PATIENCE

T = TypeVar("T")


def run_simultaneously(count: int, act: Callable[[int], T]) -> list[T]:
    """Call ``act`` with each number from 0 to ``count - 1``, in threads that start simultaneously. Return the results
    in the order of the numbers.

    Raises:
        BaseException: the first error that a call raised.
        AssertionError: a call does not return.
    """
    barrier = threading.Barrier(count)
    results: dict[int, T] = {}
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            barrier.wait(PATIENCE)
            results[number] = act(number)
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads), "a call hangs"
    return [results[number] for number in range(count)]
