"""What the demo prints: a line for each step as it ends, then a summary."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from demo.traffic import Outcomes, Traffic

KINDS_SHOWN = 4
"""Different failures of one step that are printed."""


@dataclass
class Step:
    """One step.

    Attributes:
        title: what is done.
        excused: how many requests it may cost: none, but for a step that breaks something on purpose.
        milliseconds: how long it took: what was measured, or all of it.
        shown: what there was to see.
        wrong: what should have been otherwise.
        outcomes: what became of the requests meanwhile.
    """

    title: str
    excused: int = 0
    milliseconds: float = 0.0
    shown: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    outcomes: Outcomes = field(default_factory=lambda: Outcomes([]))

    def measure(self, act: Callable[[], object]) -> float:
        """Do something, and add the milliseconds that it took to the step's; returns them."""
        before = self.milliseconds
        with self.timed():
            act()
        return self.milliseconds - before

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Add the milliseconds that the block takes to the step's."""
        started = time.monotonic()
        yield
        self.milliseconds += (time.monotonic() - started) * 1000

    def show(self, text: str) -> None:
        """A line about what there is to see."""
        self.shown.append(text)

    def check(self, is_so: bool, complaint: str) -> None:
        """The step has failed unless ``is_so``."""
        if not is_so:
            self.wrong.append(complaint)

    @property
    def is_good(self) -> bool:
        """Whether all was as it should be, and it cost no more requests than it may."""
        return not self.wrong and len(self.outcomes.failed) <= self.excused

    def describe_requests(self) -> str:
        """The account of its requests; empty where there were none."""
        if not len(self.outcomes):
            return ""
        lost = "lost with it" if self.excused else "failed"
        return f"{len(self.outcomes.failed)} of {len(self.outcomes):,} {lost}"


class Report:
    """Steps as they happen, then the summary.

    Attributes:
        traffic: set while there is any: each step then counts the requests that were answered during it.
        left: what should be gone and is not.
    """

    def __init__(self, console: Console) -> None:
        self.traffic: Traffic | None = None
        self.left: list[str] = []
        self._console = console
        self._steps: list[Step] = []

    def say(self, text: str) -> None:
        """A line of text, with rich's markup."""
        self._console.print(text, highlight=False, soft_wrap=True)

    def say_lines(self, title: str, lines: str) -> None:
        """Some lines of another program, as they are."""
        self.say(f"[bold]{title}:[/]\n{escape(lines)}")

    @contextmanager
    def step(self, title: str, *, breaks: bool = False) -> Iterator[Step]:
        """One step; its lines are printed when it has ended.

        ``breaks``: it breaks something on purpose. Each client has one request under way at most, and that one may be
        lost with what is broken.
        """
        traffic = self.traffic
        step = Step(title, excused=traffic.clients if traffic and breaks else 0)
        started, mark = time.monotonic(), traffic.mark() if traffic else 0
        try:
            with self._console.status(title):
                yield step
        except BaseException:
            self.say(f"[red]✗[/] [bold]{title}[/]")
            raise
        step.milliseconds = step.milliseconds or (time.monotonic() - started) * 1000
        if traffic:
            step.outcomes = traffic.since(mark)
        self._steps.append(step)
        self._print(step)

    def _print(self, step: Step) -> None:
        sign = "[green]✓[/]" if step.is_good else "[red]✗[/]"
        self.say(f"{sign} [bold]{step.title:<34}[/]{step.milliseconds:>8,.0f} ms   {step.describe_requests()}".rstrip())
        for line in step.shown:
            self.say(f"  [dim]{escape(line)}[/]")
        kinds = Counter(step.outcomes.failed).most_common(KINDS_SHOWN)
        for line in [*step.wrong, *(f"{count} x {problem}" for problem, count in kinds)]:
            self.say(f"  [yellow]{escape(line)}[/]")

    def summarise(self) -> bool:
        """Print the summary. Returns whether all went well: no request lost that was not excused, nothing left."""
        table = Table("step", box=SIMPLE_HEAD, pad_edge=False)
        for name in ("took", "requests", "failed", "slowest"):
            table.add_column(name, justify="right")
        for step in self._steps:
            table.add_row(step.title, f"{step.milliseconds:,.0f} ms", *_figures(step))
        self._console.print(table)
        broken = sum(len(step.outcomes.failed) for step in self._steps if step.excused)
        failed = sum(len(step.outcomes.failed) for step in self._steps) - broken
        total = sum(len(step.outcomes) for step in self._steps)
        self.say(f"Requests: {total:,}. Failed: {failed}. Lost with what was broken on purpose: {broken}.")
        self._say_what_is_left()
        all_went_well = not self.left and all(step.is_good for step in self._steps)
        self.say("[green]All went well.[/]" if all_went_well else "[red]Not all went well: see above.[/]")
        return all_went_well

    def break_off(self, reason: str) -> None:
        """Say why the demo ends before its end."""
        self.say(f"\n[red]The demo was broken off:[/] {escape(reason)}")
        self._say_what_is_left()

    def _say_what_is_left(self) -> None:
        self.say(f"Left behind: {escape('; '.join(self.left)) or 'no process, no socket, no file'}.")


def _figures(step: Step) -> list[str]:
    if not len(step.outcomes):
        return ["", "", ""]
    return [f"{len(step.outcomes):,}", f"{len(step.outcomes.failed)}", f"{step.outcomes.slowest_ms:,.0f} ms"]
