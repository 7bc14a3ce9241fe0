"""The bundle: all sections of a load balancer, in order, and what the agent needs to know about them."""

from __future__ import annotations

from typing import NamedTuple

from portico.errors import InvalidInput
from portico.render.backend import PoolBackend, Use, backend, has_stick_table
from portico.render.frontend import frontend, mode_before
from portico.render.l7 import policies_in_force
from portico.render.model import Directive, Section, Text, host, identifier
from portico.render.monitor import ping_backend_name
from portico.render.ping import ping_backend
from portico.resources import Listener, Pool
from portico.resources.health_monitor import MonitorType
from portico.resources.kinds import Tree
from portico_wire import Backend, Bundle, Frontend, Haproxy, Programs, Socket

_DEFAULTS = Section(
    Directive("defaults"),
    [
        Directive("retries", 3),
        # If all other members are down, all backup members share the load; without it only the first gets traffic.
        Directive("option allbackups"),
        # Health check results survive a reload: the agent writes the file.
        Directive("load-server-state-from-file global"),
    ],
)


def render(tree: Tree, amphora_id: str, version: int) -> Bundle:
    """Render what one amphora of a load balancer must run. Pure: equal trees give equal bundles, and all amphorae of a
    load balancer get the same text.

    A load balancer or listener that is administratively down is left out; if nothing is left, the bundle is empty. A
    pool that nothing refers to has no backend. A reference to a pool that is not in the tree is ignored.

    Args:
        tree: the objects to render, and no others.
        amphora_id: the amphora that the bundle is for.
        version: the version of the configuration.

    Raises:
        InvalidInput: an attribute breaks a rule of its spec, or two listeners have the same port.
        NotSupported: something is not built yet (``field`` names it).
    """
    load_balancer_id = identifier("id", tree.load_balancer.id).word
    listeners = [listener for listener in tree.listeners if listener.admin_state_up]
    if not tree.load_balancer.admin_state_up or not listeners:
        return Bundle(amphora_id, load_balancer_id, version)
    if not tree.vips:
        raise InvalidInput("vip_address", "is required: without a VIP there is no address to listen on")
    names = _BackendNames(tree, listeners)
    frontends = [frontend(listener, tree, names.of) for listener in listeners]
    default_host = host("vip_address", tree.vips[0].ip_address or "")
    backends = [backend(each.pool, each.name, each.use, tree, default_host) for each in names.all]
    pings = _ping_backends([each.pool for each in names.all], tree)
    sections = [*(each.section.write() for each in frontends), *map(_backend_text, [*backends, *pings.values()])]
    haproxy = Haproxy(
        configuration="\n".join([_DEFAULTS.write(), *sections]),
        # A frontend has the id of its listener as its name.
        frontends=tuple(Frontend(name=each.id, listener_id=each.id) for each in listeners),
        backends=(
            *(_serving(each) for each in names.all),
            *pings,
        ),
        servers=tuple(server for each in [*backends, *pings.values()] for server in each.servers),
    )
    sockets = _distinct([socket for each in frontends for socket in each.sockets])
    return Bundle(amphora_id, load_balancer_id, version, Programs(haproxy), sockets)


def _ping_backends(pools: list[Pool], tree: Tree) -> dict[Backend, PoolBackend]:
    """The ping backends: one for each pool with a PING monitor, however many other backends the pool has."""
    backends = {}
    for pool in pools:
        monitor = tree.monitor_of.get(pool.id)
        if monitor is not None and monitor.admin_state_up and monitor.type == MonitorType.PING:
            members = tree.members_of.get(pool.id, []) if pool.admin_state_up else []
            # HAProxy 2.6 crashes when a server with an external check is added at run time.
            place = Backend(name=ping_backend_name(monitor).word, pool_id=pool.id, serves=False, dynamic=False)
            backends[place] = ping_backend(monitor, members)
    return backends


def _serving(each: _Rendered) -> Backend:
    pool = each.pool
    return Backend(each.name.word, pool.id, serves=True, dynamic=True, sticks=has_stick_table(pool))


def _backend_text(each: PoolBackend) -> str:
    return each.section.write() + "".join([f"    {server.line}\n" for server in each.servers])


def _distinct(sockets: list[Socket]) -> tuple[Socket, ...]:
    if len({each.name for each in sockets}) < len(sockets):
        raise InvalidInput("protocol_port", "two listeners have the same port")
    return tuple(sockets)


class _Rendered(NamedTuple):
    """A backend to render."""

    pool: Pool
    name: Text
    use: Use


class _BackendNames:
    """Which backends are needed, and which one serves a given listener from a given pool.

    A backend has the id of its pool as its name. If listeners use a pool in different ways (an HTTP and a TCP listener,
    or different timeouts), each further way has a backend of its own, named ``<pool id>:<id of the first listener that
    uses the pool this way>``.
    """

    def __init__(self, tree: Tree, listeners: list[Listener]) -> None:
        self._pools = tree.pool_by_id
        self._needed: dict[tuple[str, Use], _Rendered] = {}
        for listener in listeners:
            self._add(listener, listener.default_pool_id)
            for policy in policies_in_force(listener, tree):
                self._add(listener, policy.redirect_pool_id)
        self.all = list(self._needed.values())

    def _add(self, listener: Listener, pool_id: str | None) -> None:
        pool = self._pools.get(pool_id) if pool_id is not None else None
        if pool is None:
            return
        use = _use(listener, pool)
        if (pool.id, use) in self._needed:
            return
        further = any(other == pool.id for other, _ in self._needed)
        name = identifier("id", pool.id, within=listener.id if further else None)
        self._needed[pool.id, use] = _Rendered(pool, name, use)

    def of(self, listener: Listener, pool_id: str | None) -> Text | None:
        """Return the name of the backend that serves the listener from this pool; None if the pool does not exist."""
        pool = self._pools.get(pool_id) if pool_id is not None else None
        return self._needed[pool.id, _use(listener, pool)].name if pool is not None else None


def _use(listener: Listener, pool: Pool) -> Use:
    return Use(mode_before(listener, pool), listener.timeout_member_connect, listener.timeout_member_data)
