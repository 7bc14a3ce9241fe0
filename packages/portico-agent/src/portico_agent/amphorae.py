"""The amphorae of this host: creates them, pushes to them, reports on them, deletes them, and recovers them after a
restart.

Work on one amphora happens in order, under its lock. Different amphorae are worked on in parallel. Everything that can
block (files, HAProxy, the supervisor) runs in threads.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

from portico_agent.amphora_files import AmphoraFiles, Kept
from portico_agent.failures import AgentFailure, Deleted, NotFound, StaleVersion, Unavailable, VersionConflict
from portico_agent.logs import log
from portico_agent.orphans import stop_orphans
from portico_agent.programs.haproxy import HaproxyProgram
from portico_agent.programs.haproxy.names import Names
from portico_agent.programs.haproxy.sessions import give_sessions, read_sessions
from portico_agent.programs.haproxy.statistics import parse_statistics
from portico_agent.programs.haproxy.stats_socket import StatsSocket
from portico_agent.programs.haproxy.wire_v1 import read_wire_v1
from portico_agent.pusher import Pusher
from portico_agent.supervisor_client import InstanceState, SupervisorClient
from portico_agent.tombstones import Tombstones
from portico_wire import AmphoraState, Bundle, PushMethod, PushResult, Sessions, Statistics


@dataclass(slots=True)
class _Amphora:
    """One amphora and its lock. ``names``: what the names in HAProxy's statistics stand for; None if the running bundle
    was written by another version of the agent and cannot be read."""

    files: AmphoraFiles
    version: int = 0
    names: Names | None = field(default_factory=lambda: Names.of(None))
    is_deleted: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Amphorae:
    """Every amphora of one agent's directory. ``group``: see ``AmphoraFiles``.

    The process, counters and sessions reported of an amphora are those of HAProxy, because HAProxy serves the traffic.
    """

    def __init__(self, directory: Path, supervisor: SupervisorClient, pusher: Pusher, group: int | None = None) -> None:
        self._group = group
        self._home = directory / "amphorae"
        self._tombstones = Tombstones(directory / "tombstones")
        self._supervisor = supervisor
        self._pusher = pusher
        self._amphorae: dict[str, _Amphora] = {}
        self._deletions: set[asyncio.Task[None]] = set()
        self._is_suspended = True

    def __len__(self) -> int:
        return len(self._amphorae)

    async def ensure(self, amphora_id: str) -> AmphoraState:
        """Create the amphora, or find that it exists. Raises Deleted."""
        # Nothing is awaited between the check for a tombstone and the entry, so that one of the two sees a deletion.
        if self._tombstones.has(amphora_id):
            raise Deleted(f"amphora {amphora_id} was deleted on this host")
        amphora = self._enter(amphora_id)
        async with amphora.lock:
            if amphora.is_deleted:
                raise Deleted(f"amphora {amphora_id} was deleted on this host")
            await asyncio.to_thread(amphora.files.create)
        return await self.state(amphora_id)

    async def state(self, amphora_id: str) -> AmphoraState:
        """The amphora's state. Raises NotFound, Unavailable."""
        amphora = self._find(amphora_id)
        return _to_state(amphora, await asyncio.to_thread(self._haproxy, amphora_id))

    async def list(self) -> list[AmphoraState]:
        """The states of all amphorae, ordered by id. Raises Unavailable."""
        instances = (await asyncio.to_thread(self._supervisor.survey)).instances
        nothing = InstanceState()
        return [
            _to_state(amphora, instances.get((amphora_id, HaproxyProgram.name), nothing))
            for amphora_id, amphora in sorted(self._amphorae.items())
        ]

    async def push(self, amphora_id: str, bundle: Bundle) -> PushResult:
        """Make the amphora run the bundle.

        Raises:
            NotFound, StaleVersion, VersionConflict, BindFailed, Refused, Unavailable.
        """
        started = time.monotonic()
        amphora = self._find(amphora_id)
        async with amphora.lock:
            if self._is_suspended:
                raise Unavailable("the amphorae of this host are being recovered")
            if amphora.is_deleted:
                raise NotFound(f"there is no amphora {amphora_id}")
            try:
                method = await asyncio.to_thread(self._push, amphora, bundle)
            except OSError as error:
                raise Unavailable(f"this host cannot apply the push now: {error}") from error
            amphora.version, amphora.names = bundle.version, Names.of(bundle.programs.haproxy)
        milliseconds = round((time.monotonic() - started) * 1000, 3)
        log("pushed", amphora=amphora_id, version=bundle.version, method=method, milliseconds=milliseconds)
        return PushResult(bundle.version, method, milliseconds)

    def _push(self, amphora: _Amphora, bundle: Bundle) -> PushMethod:
        files = amphora.files
        current = files.current()
        if current is None:
            return self._pusher.push(files, bundle)
        is_newer = bundle.version > current.version
        if current.bundle is None:
            # The running bundle cannot be read: it can be neither compared nor restored by a push. Its version has only
            # one content, so a bundle of that version is accepted.
            if bundle.version < current.version:
                raise _stale(current)
            return self._pusher.push(files, bundle, restore=True)
        if files.is_marked():
            try:
                self._pusher.push(files, current.bundle, restore=True)
            except (AgentFailure, OSError) as error:
                if not is_newer:
                    raise
                log("not restored", amphora=files.amphora_id, error=error)
                return self._pusher.push(files, bundle, restore=True)
        if is_newer:
            return self._pusher.push(files, bundle, current.bundle)
        return self._repeat(files, bundle)

    def _repeat(self, files: AmphoraFiles, bundle: Bundle) -> PushMethod:
        current = files.current()  # a restore may have made another generation of it
        if current is not None and bundle.version < current.version:
            raise _stale(current)
        if current is None or bundle != current.bundle:
            raise VersionConflict(f"version {bundle.version} is running with other content", current=bundle.version)
        if not self._pusher.is_as_wanted(files.amphora_id, current.generation, self._pusher.programs_of(bundle)):
            return self._pusher.push(files, bundle, restore=True)
        return "unchanged"

    def _haproxy(self, amphora_id: str) -> InstanceState:
        """The state of the amphora's HAProxy, which counts as the state of the amphora."""
        return self._supervisor.instance(amphora_id, HaproxyProgram.name)

    async def statistics(self, amphora_id: str) -> Statistics:
        """The counters of the amphora's HAProxy. Raises NotFound, Unavailable."""
        amphora = self._find(amphora_id)
        async with amphora.lock:
            return await asyncio.to_thread(self._statistics, amphora)

    def _statistics(self, amphora: _Amphora) -> Statistics:
        running = self._haproxy(amphora.files.amphora_id).running
        if running is None:
            return Statistics(amphora.files.amphora_id, amphora.version, None, None, (), ())
        if amphora.names is None:
            raise Unavailable(
                "the running configuration was pushed to another version of this agent; the next push replaces it"
            )
        try:
            text = StatsSocket(amphora.files.generation_path(running.generation)).ask("show stat")
        except OSError as error:
            raise Unavailable(f"HAProxy does not answer: {error}") from error
        listeners, servers = parse_statistics(text, amphora.names)
        return Statistics(
            amphora.files.amphora_id, amphora.version, running.pid, running.started_at, listeners, servers
        )

    async def sessions(self, amphora_id: str) -> Sessions:
        """The sessions that the amphora knows. Raises NotFound, Unavailable."""
        amphora = self._find(amphora_id)
        async with amphora.lock:
            return await asyncio.to_thread(self._sessions, amphora)

    def _sessions(self, amphora: _Amphora) -> Sessions:
        running = self._haproxy(amphora.files.amphora_id).running
        try:
            if running is None:
                return amphora.files.kept_sessions()
            return read_sessions(amphora.files.generation_path(running.generation))
        except OSError as error:
            raise Unavailable(f"the sessions cannot be read: {error}") from error

    async def give_sessions(self, amphora_id: str, sessions: Sessions) -> None:
        """Give the amphora the sessions of the one that it replaces. Raises NotFound, Unavailable."""
        amphora = self._find(amphora_id)
        async with amphora.lock:
            if amphora.is_deleted:
                raise NotFound(f"there is no amphora {amphora_id}")
            await asyncio.to_thread(self._give_sessions, amphora, sessions)

    def _give_sessions(self, amphora: _Amphora, sessions: Sessions) -> None:
        running = self._haproxy(amphora.files.amphora_id).running
        try:
            if running is None:
                amphora.files.keep_sessions(sessions)
            else:
                give_sessions(amphora.files.generation_path(running.generation), sessions)
        except OSError as error:
            raise Unavailable(f"the sessions cannot be handed over: {error}") from error

    async def delete(self, amphora_id: str, drain_seconds: float) -> None:
        """Remove the amphora; its connections get up to ``drain_seconds`` to finish. Its id is never accepted again."""
        amphora = self._enter(amphora_id)
        drain_until = time.time() + drain_seconds
        async with amphora.lock:
            if amphora.is_deleted:
                return
            await asyncio.to_thread(self._tombstones.write, amphora_id, drain_until)
            await self._finish_deletion(amphora, drain_until)

    async def _finish_deletion(self, amphora: _Amphora, drain_until: float) -> None:
        amphora_id = amphora.files.amphora_id
        states = await asyncio.to_thread(self._pusher.order_all, "stop", amphora_id)
        while any(state.draining for state in states) and time.time() < drain_until:
            await asyncio.sleep(0.02)
            states = await asyncio.to_thread(self._pusher.instances, amphora_id)
        while any(state.draining for state in states):
            states = await asyncio.to_thread(self._pusher.order_all, "kill", amphora_id)
            await asyncio.sleep(0.01)
        await asyncio.to_thread(amphora.files.remove)
        amphora.is_deleted = True
        self._amphorae.pop(amphora_id, None)
        log("deleted", amphora=amphora_id)

    async def recover(self) -> None:
        """Find every amphora of the directory: adopt those that run, start those that do not, finish deletions.

        Interrupted deletions continue in the background. Pushes are accepted from now on. Raises Unavailable.
        """
        await asyncio.to_thread(self._tombstones.forget_old)
        survey = await asyncio.to_thread(self._supervisor.survey)
        await asyncio.to_thread(stop_orphans, self._home, self._supervisor)
        found = [self._enter(path.name) for path in await asyncio.to_thread(lambda: sorted(self._home.iterdir()))]
        doomed = [amphora for amphora in found if self._tombstones.has(amphora.files.amphora_id)]
        for amphora in doomed:
            task = asyncio.create_task(self._resume_deletion(amphora))
            self._deletions.add(task)
            task.add_done_callback(self._deletions.discard)
        await asyncio.gather(*(self._recover_one(amphora) for amphora in found if amphora not in doomed))
        for amphora_id, program in survey.instances:
            if amphora_id not in self._amphorae or not self._pusher.has_program(program):
                await asyncio.to_thread(self._supervisor.order, "kill", amphora_id, program)
        self._is_suspended = False

    def suspend(self) -> None:
        """Accept no pushes until ``recover``: the supervisor is gone, and its orphans still hold the sockets."""
        self._is_suspended = True

    async def _resume_deletion(self, amphora: _Amphora) -> None:
        async with amphora.lock:
            if amphora.is_deleted:
                return
            try:
                drain_until = await asyncio.to_thread(self._tombstones.drain_until, amphora.files.amphora_id)
                await self._finish_deletion(amphora, drain_until)
            except (AgentFailure, OSError) as error:
                log("not deleted", amphora=amphora.files.amphora_id, error=error)

    async def _recover_one(self, amphora: _Amphora) -> None:
        async with amphora.lock:
            try:
                await asyncio.to_thread(self._restore, amphora)
            except (AgentFailure, OSError, ValueError) as error:
                # The other amphorae continue. This one is restored by its next push, or the controller replaces it.
                log("not restored", amphora=amphora.files.amphora_id, error=error)

    def _restore(self, amphora: _Amphora) -> None:
        files = amphora.files
        current = files.current()
        if current is None:
            self._pusher.order_all("stop", files.amphora_id)
            files.unmark()
            files.keep_generations(set())
            return
        amphora.version, amphora.names = current.version, None
        if current.bundle is None:
            self._revive(files, current)
            return
        amphora.names = Names.of(current.bundle.programs.haproxy)
        wanted = self._pusher.programs_of(current.bundle)
        is_as_wanted = self._pusher.is_as_wanted(files.amphora_id, current.generation, wanted)
        if not files.is_marked() and is_as_wanted:
            log("adopted", amphora=files.amphora_id, version=current.version)
            return
        method = self._pusher.push(files, current.bundle, restore=True)
        log("restored", amphora=files.amphora_id, version=current.version, method=method)

    def _revive(self, files: AmphoraFiles, current: Kept) -> None:
        """Keep a generation of another version running, or start it as the agent that wrote it did. The next push
        replaces it."""
        launches = files.launches(current.generation)
        if launches is None:
            launches = read_wire_v1(files.generation_path(current.generation))
        how = "adopted"
        if files.is_marked() or not self._pusher.is_as_wanted(files.amphora_id, current.generation, launches):
            self._pusher.revive(files, current.generation, launches)
            how = "revived"
        log(f"{how}, written by another version of the agent", amphora=files.amphora_id, version=current.version)

    def _enter(self, amphora_id: str) -> _Amphora:
        return self._amphorae.setdefault(amphora_id, _Amphora(AmphoraFiles(self._home / amphora_id, self._group)))

    def _find(self, amphora_id: str) -> _Amphora:
        if amphora_id not in self._amphorae:
            raise NotFound(f"there is no amphora {amphora_id}")
        return self._amphorae[amphora_id]


def _stale(current: Kept) -> StaleVersion:
    return StaleVersion(f"version {current.version} is already running", current=current.version)


def _to_state(amphora: _Amphora, instance: InstanceState) -> AmphoraState:
    running = instance.running
    return AmphoraState(
        amphora_id=amphora.files.amphora_id,
        version=amphora.version,
        running=running is not None,
        pid=running.pid if running else None,
        started_at=running.started_at if running else None,
        restarts=instance.restarts,
        draining=len(instance.draining),
    )
