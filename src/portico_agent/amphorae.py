"""The amphorae of this host: created, pushed to, looked at, deleted, and found again after a restart.

What belongs to one amphora happens in order, under its lock; different amphorae go in parallel. Whatever may block
(files, HAProxy, the supervisor) runs in threads.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

from portico_agent.amphora_files import AmphoraFiles
from portico_agent.failures import AgentFailure, Deleted, NotFound, StaleVersion, Unavailable, VersionConflict
from portico_agent.logs import log
from portico_agent.orphans import stop_orphans
from portico_agent.pusher import Pusher
from portico_agent.sessions import give_sessions, read_sessions
from portico_agent.statistics import parse_statistics
from portico_agent.stats_socket import StatsSocket
from portico_agent.supervisor_client import InstanceState, SupervisorClient
from portico_agent.tombstones import Tombstones
from portico_wire import AmphoraState, Bundle, PushMethod, PushResult, Sessions, Statistics


@dataclass(slots=True)
class _Amphora:
    files: AmphoraFiles
    version: int = 0
    is_deleted: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Amphorae:
    """Every amphora of one agent's directory. ``group``: see ``AmphoraFiles``."""

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
        """Make it, or find it made. Raises Deleted."""
        # Nothing is awaited between the look at the tombstone and the entry: a deletion is seen by one of the two.
        if self._tombstones.has(amphora_id):
            raise Deleted(f"amphora {amphora_id} was deleted on this host")
        amphora = self._enter(amphora_id)
        async with amphora.lock:
            if amphora.is_deleted:
                raise Deleted(f"amphora {amphora_id} was deleted on this host")
            await asyncio.to_thread(amphora.files.create)
        return await self.state(amphora_id)

    async def state(self, amphora_id: str) -> AmphoraState:
        """How it is. Raises NotFound, Unavailable."""
        amphora = self._find(amphora_id)
        return _to_state(amphora, await asyncio.to_thread(self._supervisor.instance, amphora_id))

    async def list(self) -> list[AmphoraState]:
        """How all of them are, by id. Raises Unavailable."""
        instances = (await asyncio.to_thread(self._supervisor.survey)).instances
        nothing = InstanceState()
        return [
            _to_state(amphora, instances.get(amphora_id, nothing))
            for amphora_id, amphora in sorted(self._amphorae.items())
        ]

    async def push(self, amphora_id: str, bundle: Bundle) -> PushResult:
        """Make it run the bundle.

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
            except OSError as exc:
                raise Unavailable(f"this host cannot do it for now: {exc}") from exc
            amphora.version = bundle.version
        milliseconds = round((time.monotonic() - started) * 1000, 3)
        log("pushed", amphora=amphora_id, version=bundle.version, method=method, milliseconds=milliseconds)
        return PushResult(bundle.version, method, milliseconds)

    def _push(self, amphora: _Amphora, bundle: Bundle) -> PushMethod:
        current = amphora.files.current()
        if current is None:
            return self._pusher.push(amphora.files, bundle)
        is_newer = bundle.version > current[1].version
        if amphora.files.is_marked():
            try:
                self._pusher.push(amphora.files, current[1], restore=True)
            except (AgentFailure, OSError) as exc:
                if not is_newer:
                    raise
                log("not restored", amphora=amphora.files.amphora_id, error=exc)
                return self._pusher.push(amphora.files, bundle, restore=True)
        if is_newer:
            return self._pusher.push(amphora.files, bundle, current[1])
        return self._repeat(amphora, current[1], bundle)

    def _repeat(self, amphora: _Amphora, current: Bundle, bundle: Bundle) -> PushMethod:
        if bundle.version < current.version:
            raise StaleVersion(f"version {current.version} runs already", current=current.version)
        if bundle != current:
            raise VersionConflict(f"version {current.version} runs with other content", current=current.version)
        if bundle.haproxy and self._supervisor.instance(amphora.files.amphora_id).wanted is None:
            return self._pusher.push(amphora.files, bundle, restore=True)
        return "unchanged"

    async def statistics(self, amphora_id: str) -> Statistics:
        """What its HAProxy has counted. Raises NotFound, Unavailable."""
        amphora = self._find(amphora_id)
        async with amphora.lock:
            return await asyncio.to_thread(self._statistics, amphora)

    def _statistics(self, amphora: _Amphora) -> Statistics:
        running = self._supervisor.instance(amphora.files.amphora_id).running
        if running is None:
            return Statistics(amphora.files.amphora_id, amphora.version, None, None, (), ())
        try:
            text = StatsSocket(amphora.files.generation_path(running.generation)).ask("show stat")
        except OSError as exc:
            raise Unavailable(f"HAProxy does not answer: {exc}") from exc
        listeners, servers = parse_statistics(text)
        return Statistics(
            amphora.files.amphora_id, amphora.version, running.pid, running.started_at, listeners, servers
        )

    async def sessions(self, amphora_id: str) -> Sessions:
        """What it knows of its clients. Raises NotFound, Unavailable."""
        amphora = self._find(amphora_id)
        async with amphora.lock:
            return await asyncio.to_thread(self._sessions, amphora)

    def _sessions(self, amphora: _Amphora) -> Sessions:
        running = self._supervisor.instance(amphora.files.amphora_id).running
        try:
            if running is None:
                return amphora.files.kept_sessions()
            return read_sessions(amphora.files.generation_path(running.generation))
        except OSError as exc:
            raise Unavailable(f"the sessions cannot be read: {exc}") from exc

    async def give_sessions(self, amphora_id: str, sessions: Sessions) -> None:
        """Let it know the clients of the amphora that it replaces. Raises NotFound, Unavailable."""
        amphora = self._find(amphora_id)
        async with amphora.lock:
            if amphora.is_deleted:
                raise NotFound(f"there is no amphora {amphora_id}")
            await asyncio.to_thread(self._give_sessions, amphora, sessions)

    def _give_sessions(self, amphora: _Amphora, sessions: Sessions) -> None:
        running = self._supervisor.instance(amphora.files.amphora_id).running
        try:
            if running is None:
                amphora.files.keep_sessions(sessions)
            else:
                give_sessions(amphora.files.generation_path(running.generation), sessions)
        except OSError as exc:
            raise Unavailable(f"the sessions cannot be told: {exc}") from exc

    async def delete(self, amphora_id: str, drain_seconds: float) -> None:
        """Remove it; its connections get up to ``drain_seconds`` to finish. The id is never taken again."""
        amphora = self._enter(amphora_id)
        drain_until = time.time() + drain_seconds
        async with amphora.lock:
            if amphora.is_deleted:
                return
            await asyncio.to_thread(self._tombstones.write, amphora_id, drain_until)
            await self._finish_deletion(amphora, drain_until)

    async def _finish_deletion(self, amphora: _Amphora, drain_until: float) -> None:
        amphora_id = amphora.files.amphora_id
        state = await asyncio.to_thread(self._supervisor.order, "stop", amphora_id)
        while state.draining and time.time() < drain_until:
            await asyncio.sleep(0.02)
            state = await asyncio.to_thread(self._supervisor.instance, amphora_id)
        while state.draining:
            state = await asyncio.to_thread(self._supervisor.order, "kill", amphora_id)
            await asyncio.sleep(0.01)
        await asyncio.to_thread(amphora.files.remove)
        amphora.is_deleted = True
        self._amphorae.pop(amphora_id, None)
        log("deleted", amphora=amphora_id)

    async def recover(self) -> None:
        """Find every amphora of the directory: adopt what runs, start what does not, end what is half done.

        Deletions that were half done go on in the background; pushes are taken from now on. Raises Unavailable.
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
        for amphora_id in survey.instances.keys() - self._amphorae.keys():
            await asyncio.to_thread(self._supervisor.order, "kill", amphora_id)
        self._is_suspended = False

    def suspend(self) -> None:
        """Take no pushes until ``recover``: the supervisor is gone, and its orphans still have the sockets."""
        self._is_suspended = True

    async def _resume_deletion(self, amphora: _Amphora) -> None:
        async with amphora.lock:
            if amphora.is_deleted:
                return
            try:
                drain_until = await asyncio.to_thread(self._tombstones.drain_until, amphora.files.amphora_id)
                await self._finish_deletion(amphora, drain_until)
            except (AgentFailure, OSError) as exc:
                log("not deleted", amphora=amphora.files.amphora_id, error=exc)

    async def _recover_one(self, amphora: _Amphora) -> None:
        async with amphora.lock:
            try:
                await asyncio.to_thread(self._restore, amphora)
            except (AgentFailure, OSError, ValueError) as exc:
                # The others go on; this one is restored by its next push, or replaced by the controller.
                log("not restored", amphora=amphora.files.amphora_id, error=exc)

    def _restore(self, amphora: _Amphora) -> None:
        files = amphora.files
        current = files.current()
        if current is None:
            self._supervisor.order("stop", files.amphora_id)
            files.unmark()
            files.keep_generations(set())
            return
        generation, bundle = current
        amphora.version = bundle.version
        wanted = generation if bundle.haproxy else None
        if not files.is_marked() and self._supervisor.instance(files.amphora_id).wanted == wanted:
            log("adopted", amphora=files.amphora_id, version=bundle.version)
            return
        method = self._pusher.push(files, bundle, restore=True)
        log("restored", amphora=files.amphora_id, version=bundle.version, method=method)

    def _enter(self, amphora_id: str) -> _Amphora:
        return self._amphorae.setdefault(amphora_id, _Amphora(AmphoraFiles(self._home / amphora_id, self._group)))

    def _find(self, amphora_id: str) -> _Amphora:
        if amphora_id not in self._amphorae:
            raise NotFound(f"there is no amphora {amphora_id}")
        return self._amphorae[amphora_id]


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
