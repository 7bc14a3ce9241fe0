"""What every program of an amphora can be asked: plan, check, start, tell, revive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from portico_agent.amphora_files import AmphoraFiles
from portico_agent.launches import Launch
from portico_agent.supervisor_client import Place, RunningProcess
from portico_wire import Bundle, PushMethod, Socket

Wanted = TypeVar("Wanted")
Step = TypeVar("Step")


@dataclass(slots=True)
class Progress:
    """Of a push. ``is_told``: something has been told a program, or the supervisor, that has to be undone where the
    push fails."""

    is_told: bool = False


@dataclass(frozen=True, slots=True)
class Change(Generic[Wanted]):
    """What a push is for one program.

    Attributes:
        files: of the amphora. Those of ``generation`` are written, and not yet the current ones.
        wanted: what the program is to run, on ``sockets``.
        former: what it runs now, on ``former_sockets``; None where that is not known for certain, so that only another
            process will do.
        running: the process that runs, of whatever generation; None where none does.
    """

    files: AmphoraFiles
    generation: int
    wanted: Wanted
    sockets: tuple[Socket, ...]
    former: Wanted | None
    former_sockets: tuple[Socket, ...]
    running: RunningProcess | None
    progress: Progress

    @property
    def directory(self) -> Path:
        """Where the new generation's files are."""
        return self.files.generation_path(self.generation)

    @property
    def running_directory(self) -> Path | None:
        """Where the process was started that runs."""
        return self.files.generation_path(self.running.generation) if self.running else None


@dataclass(frozen=True, slots=True)
class Plan(Generic[Step]):
    """By which method a program gets from what it runs to what is wanted: "start", "reload", or, by ``steps``,
    "runtime" and "unchanged", where there are none. ``is_to_be_checked``: the steps bring in what the program has never
    read; it is checked before a step is told."""

    method: PushMethod
    steps: tuple[Step, ...] = ()
    is_to_be_checked: bool = False


class Program(Protocol[Wanted, Step]):
    """One program. Its methods block; those of one amphora are never called at the same time.

    Whoever is asked to stop is not asked here: that is the same for all, and the supervisor's. Every method but
    ``wanted``, ``compose``, ``launch`` and ``plan``, which have no effects, may raise Unavailable and OSError.
    """

    name: str
    """By which the supervisor knows it, and the files in a generation's directory that are of its process."""

    def wanted(self, bundle: Bundle) -> Wanted | None:
        """What it is to run of a bundle; None where it is to stop."""

    def compose(self, wanted: Wanted, sockets: tuple[Socket, ...]) -> dict[str, str]:
        """The files of a generation that it is started from, by name. Raises Refused where this host does not allow
        what is wanted."""

    def launch(self, sockets: tuple[Socket, ...]) -> Launch:
        """What starts it from these files, on these sockets."""

    def plan(self, change: Change[Wanted]) -> Plan[Step]:
        """What differs between what runs and what is wanted, and by which method the one becomes the other: the one
        that disturbs connections least. Pure."""

    def check(self, change: Change[Wanted]) -> None:
        """Have the real daemon judge what is wanted, without running it. Raises Refused, with the daemon's words."""

    def start(self, change: Change[Wanted]) -> None:
        """Have a new process run what is wanted, and once it serves, the former one end its connections softly. Where
        it raises, the former one still serves. Raises Refused, BindFailed."""

    def tell(self, change: Change[Wanted], steps: tuple[Step, ...]) -> bool:
        """Have the process that runs do the steps, and be started from the new files where it dies. False where it did
        not do them all: then only a new process will do."""

    def revive(self, place: Place, launch: Launch) -> None:
        """Have a new process run what another version of the agent has left in a directory, and once it serves, the
        former one, where there is one, end softly. Raises Refused, BindFailed."""
