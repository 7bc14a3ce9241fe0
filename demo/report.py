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
"""How many different failures of one step are printed."""


@dataclass
class Step:
    """One step.

    Attributes:
        title: what the step does.
        allowed_failures: how many requests may fail: none, unless the step breaks something on purpose.
        milliseconds: how long the measured part took, or the whole step if nothing was measured.
        shown: lines to print below the step.
        wrong: what the failed checks report.
        outcomes: the outcomes of the requests that ended during the step.
    """

    title: str
    allowed_failures: int = 0
    milliseconds: float = 0.0
    shown: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    outcomes: Outcomes = field(default_factory=lambda: Outcomes([]))

    def measure(self, act: Callable[[], object]) -> float:
        """Call ``act``, and add the time that it took to the step's. Returns that time in milliseconds."""
        before = self.milliseconds
        with self.timed():
            act()
        return self.milliseconds - before

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Add the time that the block takes to the step's."""
        started = time.monotonic()
        yield
        self.milliseconds += (time.monotonic() - started) * 1000

    def show(self, text: str) -> None:
        """Add a line to print below the step."""
        self.shown.append(text)

    def check(self, is_so: bool, complaint: str) -> None:
        """Fail the step, with this complaint, unless ``is_so``."""
        if not is_so:
            self.wrong.append(complaint)

    @property
    def is_good(self) -> bool:
        """Whether all checks passed, and no more requests failed than may."""
        return not self.wrong and len(self.outcomes.failed) <= self.allowed_failures

    def describe_requests(self) -> str:
        """How many of its requests failed; empty if there were none."""
        if not len(self.outcomes):
            return ""
        allowed = f" (up to {self.allowed_failures} expected)" if self.allowed_failures else ""
        return f"{len(self.outcomes.failed)} of {len(self.outcomes):,} failed{allowed}"


class Report:
    """Prints steps as they end, then a summary.

    Attributes:
        traffic: set while there is traffic: each step then counts the requests that ended during it.
        left: what was left behind: processes, sockets, files.
    """

    def __init__(self, console: Console) -> None:
        self.traffic: Traffic | None = None
        self.left: list[str] = []
        self._console = console
        self._steps: list[Step] = []

    def say(self, text: str) -> None:
        """Print a line of text, with rich's markup."""
        self._console.print(text, highlight=False, soft_wrap=True)

    def say_lines(self, title: str, lines: str) -> None:
        """Print lines of another program unchanged, below a title."""
        self.say(f"[bold]{title}:[/]\n{escape(lines)}")

    @contextmanager
    def step(self, title: str, *, breaks: bool = False) -> Iterator[Step]:
        """Run one step. Its lines are printed when it has ended.

        With ``breaks`` the step breaks something on purpose. Each client has at most one request in flight, and that
        request may be lost.
        """
        traffic = self.traffic
        step = Step(title, allowed_failures=traffic.clients if traffic and breaks else 0)
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
        """Print the summary. Returns whether all went well: every step was good, and nothing was left behind."""
        table = Table("step", box=SIMPLE_HEAD, pad_edge=False)
        for name in ("time", "requests", "failed", "slowest"):
            table.add_column(name, justify="right")
        for step in self._steps:
            table.add_row(step.title, f"{step.milliseconds:,.0f} ms", *_figures(step))
        self._console.print(table)
        lost = sum(len(step.outcomes.failed) for step in self._steps if step.allowed_failures)
        failed = sum(len(step.outcomes.failed) for step in self._steps) - lost
        total = sum(len(step.outcomes) for step in self._steps)
        self.say(f"Requests: {total:,}. Failed: {failed}. Lost in steps that break something on purpose: {lost}.")
        self._say_what_is_left()
        all_went_well = not self.left and all(step.is_good for step in self._steps)
        self.say("[green]All went well.[/]" if all_went_well else "[red]Not all went well: see above.[/]")
        return all_went_well

    def break_off(self, reason: str) -> None:
        """Print why the demo stops early."""
        self.say(f"\n[red]The demo stopped early:[/] {escape(reason)}")
        self._say_what_is_left()

    def _say_what_is_left(self) -> None:
        self.say(f"Left behind: {escape('; '.join(self.left)) or 'no process, no socket, no file'}.")


def _figures(step: Step) -> list[str]:
    if not len(step.outcomes):
        return ["", "", ""]
    return [f"{len(step.outcomes):,}", f"{len(step.outcomes.failed)}", f"{step.outcomes.slowest_ms:,.0f} ms"]
