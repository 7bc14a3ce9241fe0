"""The protocol of an amphora's programs: plan, check, start, tell, revive."""

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
    """The progress of a push. ``is_told``: a program or the supervisor has been told something that must be undone if
    the push fails."""

    is_told: bool = False


@dataclass(frozen=True, slots=True)
class Change(Generic[Wanted]):
    """The change that a push means for one program.

    Attributes:
        files: of the amphora. Those of ``generation`` are written, but it is not the current one yet.
        wanted: what the program should run, on ``sockets``.
        former: what it runs now, on ``former_sockets``; None if that is not known for certain, so that a new process is
            necessary.
        running: the process that runs, from any generation; None if none does.
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
        """The directory of the new generation's files."""
        return self.files.generation_path(self.generation)

    @property
    def running_directory(self) -> Path | None:
        """The directory that the running process was started in; None if none runs."""
        return self.files.generation_path(self.running.generation) if self.running else None


@dataclass(frozen=True, slots=True)
class Plan(Generic[Step]):
    """How a program gets from what it runs to what is wanted: "start", "reload", "runtime" (by ``steps``), or
    "unchanged" (there are no steps). ``is_to_be_checked``: the steps add something that the program has never read, so
    the configuration must be checked before the first step."""

    method: PushMethod
    steps: tuple[Step, ...] = ()
    is_to_be_checked: bool = False


class Program(Protocol[Wanted, Step]):
    """One program. Its methods block; those for one amphora are never called concurrently.

    Stopping is not part of this protocol: it is the same for all programs, and the supervisor does it. Every method
    except ``wanted``, ``compose``, ``launch`` and ``plan``, which have no side effects, can raise Unavailable and
    OSError.
    """

    name: str
    """The name by which the supervisor knows the program. The files of its process, in a generation's directory, have
    the same name."""

    def wanted(self, bundle: Bundle) -> Wanted | None:
        """The part of a bundle that this program should run; None if it should stop."""

    def compose(self, wanted: Wanted, sockets: tuple[Socket, ...]) -> dict[str, str]:
        """The files of a generation that the program is started from: name to text. Raises Refused if this host does
        not allow what is wanted."""

    def launch(self, sockets: tuple[Socket, ...]) -> Launch:
        """How the program is started from these files, on these sockets."""

    def plan(self, change: Change[Wanted]) -> Plan[Step]:
        """Compare what runs with what is wanted, and choose the method that disturbs connections least. Pure."""

    def check(self, change: Change[Wanted]) -> None:
        """Have the real daemon check what is wanted without running it. Raises Refused, with the daemon's messages."""

    def start(self, change: Change[Wanted]) -> None:
        """Start a new process that runs what is wanted. Once it serves, let the former process drain. If this raises,
        the former process still serves. Raises Refused, BindFailed."""

    def tell(self, change: Change[Wanted], steps: tuple[Step, ...]) -> bool:
        """Have the running process carry out the steps, and have it restarted from the new files if it dies. False if
        it did not carry out all of them: then a new process is necessary."""

    def revive(self, place: Place, launch: Launch) -> None:
        """Start a new process from the files that another version of the agent left in a directory. Once it serves, let
        the former process, if there is one, drain. Raises Refused, BindFailed."""
