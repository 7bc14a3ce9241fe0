"""Pushes: makes an amphora's programs run a configuration, each at run time where possible, otherwise by a new process.

The order of its steps makes a push safe to interrupt at any point: write the new generation beside the current one,
leave a mark, make each program run the new generation, make it the current one, remove the mark. If a mark is found
later, the generation that ``current`` names is restored. A push that fails, even because the disk is full, is undone
immediately. If undoing fails too, the mark stays.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from portico_agent import stop_points
from portico_agent.amphora_files import AmphoraFiles
from portico_agent.failures import AgentFailure, Unavailable
from portico_agent.launches import Launch, Launches
from portico_agent.logs import log
from portico_agent.programs.program import Change, Program, Progress
from portico_agent.supervisor_client import InstanceState, Place, SupervisorClient
from portico_wire import Bundle, PushMethod

Wanted = TypeVar("Wanted")
Step = TypeVar("Step")

AnyProgram = Program[Any, Any]
"""Any program. What it wants and its steps are opaque to all other code."""

_METHODS_BY_RANK: tuple[PushMethod, ...] = ("start", "reload", "runtime", "unchanged", "stop")
"""If several programs got what they run by different methods, the push reports the one that comes first here."""


@dataclass(frozen=True, slots=True)
class _Push:
    """One push in progress. ``previous``: what runs now; None if that is unknown."""

    files: AmphoraFiles
    generation: int
    bundle: Bundle
    previous: Bundle | None
    progress: Progress = field(default_factory=Progress)


class Pusher:
    """Makes configurations run. Its methods block; those for one amphora are never called concurrently.

    Args:
        supervisor: runs the programs' processes.
        programs: all programs, in the order in which they are changed.
    """

    def __init__(self, supervisor: SupervisorClient, programs: Sequence[AnyProgram]) -> None:
        self._supervisor = supervisor
        self._programs = programs

    def push(
        self, files: AmphoraFiles, bundle: Bundle, previous: Bundle | None = None, restore: bool = False
    ) -> PushMethod:
        """Make the amphora run the bundle, or leave everything as it is.

        ``previous``: what the amphora runs now; without it, new processes are necessary.
        ``restore``: the programs may be in any state, so new processes are necessary. If even that fails, the mark
        stays, and the next push or start of the agent retries.

        Raises:
            Refused, BindFailed, Unavailable, OSError.
        """
        texts: dict[str, str] = {}
        launches: dict[str, Launch] = {}
        for program in self._programs:
            wanted = program.wanted(bundle)
            if wanted is not None:
                texts |= program.compose(wanted, bundle.sockets)
                launches[program.name] = program.launch(bundle.sockets)
        generation = files.write_generation(bundle, texts, launches)
        push = _Push(files, generation, bundle, None if restore else previous)
        files.mark()
        stop_points.reach("prepared")
        try:
            methods = [self._apply(program, push) for program in self._programs]
            stop_points.reach("promoted")
            files.switch(generation)
        except (AgentFailure, OSError) as error:
            if not restore:
                # If the supervisor did not answer, it may have carried out the command all the same.
                if push.progress.is_told or isinstance(error, Unavailable):
                    self._undo(files, previous)
                self._settle(files)
            raise
        stop_points.reach("switched")
        try:
            self._settle(files)
        except (AgentFailure, OSError) as error:
            # The new generation runs and is the current one. The next push removes what is left behind.
            log("old generations not removed", amphora=files.amphora_id, error=error)
        return min(methods, key=_METHODS_BY_RANK.index)

    def instances(self, amphora_id: str) -> list[InstanceState]:
        """The supervisor's state of each program. Raises Unavailable."""
        return self.order_all("show", amphora_id)

    def order_all(self, command: str, amphora_id: str) -> list[InstanceState]:
        """Give this order for each program of an amphora. Return their states after it. Raises Unavailable."""
        return [self._supervisor.order(command, amphora_id, program.name) for program in self._programs]

    def revive(self, files: AmphoraFiles, generation: int, launches: Launches) -> None:
        """Run, in new processes, the generation that another version of the agent left behind. If this raises, an
        existing mark stays.

        Raises:
            Refused, BindFailed, Unavailable, OSError.
        """
        for program in self._programs:
            if program.name in launches:
                place = Place(files.amphora_id, program.name, generation, files.generation_path(generation))
                program.revive(place, launches[program.name])
            else:
                self._supervisor.order("stop", files.amphora_id, program.name)
        self._settle(files)

    def programs_of(self, bundle: Bundle) -> set[str]:
        """The names of the programs that the bundle has something to run for."""
        return {program.name for program in self._programs if program.wanted(bundle) is not None}

    def is_as_wanted(self, amphora_id: str, generation: int, programs: Collection[str]) -> bool:
        """Whether the supervisor keeps exactly these programs at a generation, and no others. Raises Unavailable."""
        wanted = [generation if program.name in programs else None for program in self._programs]
        return [instance.wanted for instance in self.instances(amphora_id)] == wanted

    def has_program(self, name: str) -> bool:
        """Whether there is a program of this name."""
        return any(program.name == name for program in self._programs)

    def _undo(self, files: AmphoraFiles, previous: Bundle | None) -> None:
        """Run the previous configuration again, or nothing if there was none."""
        if previous is None:
            self.order_all("stop", files.amphora_id)
        else:
            self.push(files, previous, restore=True)

    def _apply(self, program: Program[Wanted, Step], push: _Push) -> PushMethod:
        amphora_id = push.files.amphora_id
        wanted = program.wanted(push.bundle)
        if wanted is None:
            if not self._supervisor.instance(amphora_id, program.name).is_idle:
                push.progress.is_told = True
                self._supervisor.order("stop", amphora_id, program.name)
            return "stop"
        change = Change(
            files=push.files,
            generation=push.generation,
            wanted=wanted,
            sockets=push.bundle.sockets,
            former=program.wanted(push.previous) if push.previous is not None else None,
            former_sockets=push.previous.sockets if push.previous is not None else (),
            running=self._supervisor.instance(amphora_id, program.name).running,
            progress=push.progress,
        )
        plan = program.plan(change)
        if plan.method in {"start", "reload"}:
            program.start(change)
            return plan.method
        if plan.is_to_be_checked:
            program.check(change)
        if program.tell(change, plan.steps):
            return plan.method
        program.start(change)
        return "reload"

    def _settle(self, files: AmphoraFiles) -> None:
        """Finish a push, whether it succeeded or was undone: remove the mark and the unused generations."""
        files.unmark()
        used = {process.generation for each in self.instances(files.amphora_id) for process in each.processes()}
        current = files.current_generation()
        files.keep_generations(used | ({current} if current is not None else set()))
