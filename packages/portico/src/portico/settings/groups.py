"""The groups of settings that do not belong to a driver, and what each setting means. ``tests/unit/test_settings.py``
pins the defaults."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt, SecretStr

from portico.settings.group import Group
from portico.settings.urls import check_database_url, check_web_url


class DatabaseSettings(Group):
    """The database, which is the source of truth."""

    # The URL can contain a password.
    url: Annotated[str, AfterValidator(check_database_url)] = Field(default="sqlite:///portico.db", repr=False)
    """SQLAlchemy URL: ``sqlite:///PATH``, ``postgresql+psycopg://...`` or ``mariadb+pymysql://...``."""
    pool_size: PositiveInt = 20
    """Most connections that one process keeps."""
    retries: PositiveInt = 8
    """How often a transaction is retried after a deadlock, a serialization failure or a lost connection."""


class WorkerSettings(Group):
    """How workers run operations."""

    threads: PositiveInt = 4
    """Operations that one ``portico worker`` process runs concurrently."""
    executor_threads: PositiveInt = 32
    """Size of the one thread pool that all TaskFlow engines of a process share. It must be large enough that tasks
    which wait for a slot or a slow agent leave room for others."""
    lease_seconds: float = Field(default=20.0, ge=1, le=600)
    """How long a lease lasts without being renewed: the longest that anything waits after a worker died."""
    poll_seconds: PositiveFloat = 1.0
    """How often an idle worker polls for operations that no notice announced."""
    max_attempts: PositiveInt = 3
    """How often an operation can be started without finishing before it is set aside as FAILED."""
    task_retries: int = Field(default=3, ge=0, le=20)
    """How often a driver call that failed with a transient error is retried within one attempt."""
    retry_seconds: PositiveFloat = 0.5
    """Pause before the first of these retries; it doubles each time."""
    batch_seconds: float = Field(default=0.1, ge=0)
    """Shortest time for which changes of one load balancer are gathered while more keep coming. The time is four times
    as long as the last batch took if that is longer, but never more than ten times this setting. The first change after
    a quiet time never waits."""
    batch_size: int = Field(default=1000, ge=1, le=5000)
    """Most operations that are applied as one configuration."""
    wait_seconds: PositiveFloat = 600.0
    """How long a direct call waits for its operation while another worker has the load balancer."""
    stop_seconds: PositiveFloat = 30.0
    """How long a worker that was told to stop may take to finish what it runs; after this time it hands over the
    rest."""


class MessagingSettings(Group):
    """The broker that carries notices to workers in other processes, used through oslo.messaging."""

    url: SecretStr = SecretStr("")
    """``rabbit://user:password@host:5672/vhost``, with a further ``,user:password@host:port`` for each other node of a
    cluster, and options of oslo.messaging's driver as a query (``?ssl=true&ssl_ca_file=/etc/ssl/rabbit.pem``). Empty:
    no broker. Then PostgreSQL wakes the workers; with any other database they poll."""
    topic: str = Field(default="portico", pattern=r"^[A-Za-z0-9._-]{1,100}$")
    """Name of the queue: one for each deployment that shares a broker."""
    prefetch: PositiveInt = 16
    """Messages that the broker sends to a worker before the worker has taken the earlier ones."""
    heartbeat_seconds: PositiveInt = 15
    """How long a broker may be silent before its connection is dropped and made again."""
    retry_seconds: PositiveFloat = 1.0
    """Pause after a message that could not be delivered."""
    backlog: PositiveInt = 1000
    """Most messages that wait to be sent; when there are more, the oldest are dropped."""


class LimitSettings(Group):
    """Initial values of the named limits over all workers; the database keeps later ones
    (``portico.store.claims.slots``). 0 means no limit."""

    operations: int = Field(default=200, ge=0)
    """Load balancers that are changed concurrently."""
    amphora_builds: int = Field(default=20, ge=0)
    """Amphorae that are built concurrently."""
    failovers: int = Field(default=10, ge=0)
    """Failovers that run concurrently."""


def _check_network(value: str) -> str:
    return str(ip_network(value))


class ValidationSettings(Group):
    """What users can request."""

    allow_ping_monitors: bool = False
    """Allow PING monitors. HAProxy has no ICMP check, so they run an external program; they are refused unless this is
    set."""
    allow_loopback_members: bool = False
    """Allow members in 127.0.0.0/8 and ::1, where the hosts that carry amphorae run services of their own. ``portico
    up`` and ``open_embedded``, which are for one machine and one person, allow them unless this is set to false."""
    allow_link_local_members: bool = False
    """Allow members in 169.254.0.0/16 and fe80::/10, where clouds have their metadata services."""
    allow_special_members: bool = False
    """Allow members at the other addresses of clouds' own services, and in reserved networks
    (``portico.resources.member_addresses.SPECIAL`` lists them all)."""
    reserved_networks: tuple[Annotated[str, AfterValidator(_check_network)], ...] = ()
    """Networks that no member may be in. List the management networks here (``["10.20.0.0/16", "fd00:1::/64"]``)."""
    lowest_listener_port: int = Field(default=1, ge=1, le=65535)
    """Listeners at lower ports are refused. Set 1024 where amphorae are not root and lack CAP_NET_BIND_SERVICE.
    ``portico up`` and ``open_embedded`` determine the port themselves if it is not set."""
    max_members: PositiveInt = 5000
    """Members in one load balancer."""
    max_listeners: PositiveInt = 500
    """Listeners of one load balancer."""
    max_pools: PositiveInt = 500
    """Pools of one load balancer."""
    max_l7policies: PositiveInt = 200
    """L7 policies of one listener."""
    max_parts: PositiveInt = 2000
    """Listeners, pools, members and all other parts that one request can describe a load balancer with. They are
    written in one transaction, which needs a millisecond or more for each."""
    max_regular_expressions: PositiveInt = 100
    """L7 rules of one listener that compare by REGEX. Each can take HAProxy up to 2.5 ms for every text that it
    matches, and a request that keeps HAProxy busy for more than a second ends its process."""


class HealthSettings(Group):
    """How the health manager watches load balancers."""

    poll_seconds: PositiveFloat = 2.0
    """How often each amphora is polled for its counters and the state of its members."""
    threads: PositiveInt = 8
    """Agents that are polled concurrently. Agents that did not answer the last time have two threads of their own."""
    request_seconds: PositiveFloat = 3.0
    """How long an agent may take to answer."""
    misses: PositiveInt = 3
    """How many polls in a row an amphora can miss before that is logged. Its last report stays."""
    lease_seconds: PositiveFloat = 15.0
    """How long after the death of the active health manager another one takes over. Only one of them polls at a
    time."""


class ApiSettings(Group):
    """How the API is served."""

    host: str = "127.0.0.1"
    """Address to listen on. Without authentication (``noauth``), everyone who can reach it may do everything."""
    port: int = Field(default=9876, ge=0, le=65535)
    allowed_hosts: tuple[str, ...] = ()
    """Other names in the ``Host`` header that are accepted without authentication on a loopback address, for example
    the name of a proxy in front. Any other name is refused, because web pages reach services on loopback by names of
    their own."""
    trusted_proxies: tuple[Annotated[str, AfterValidator(_check_network)], ...] = ("127.0.0.1/32", "::1/128")
    """Addresses and networks of proxies whose ``X-Forwarded-Proto`` is trusted, so that links begin with the scheme
    that the caller used."""
    path_prefix: str = Field(default="", pattern=r"^(/[A-Za-z0-9._~-]+)*$")
    """The path below which a proxy shows the API, as in ``https://cloud.example/load-balancer``: links begin with it.
    The proxy can pass it on or strip it."""
    auth: Literal["noauth", "keystone"] = "noauth"
    """How callers are identified: ``noauth`` treats every caller as an administrator, ``keystone`` asks Keystone to
    validate their tokens (``KeystoneSettings``)."""
    project_id: str = "default"
    """With ``noauth``, the project of a caller who does not name one."""
    policy_file: Path | None = None
    """YAML file with the policy rules that differ from the defaults (docs/reference/policy.md). It is read again when
    it changes."""
    threads: PositiveInt = 8
    """Requests that one process handles concurrently; each can use a database connection."""
    max_body_bytes: PositiveInt = 4 * 1024 * 1024
    """A longer request body is answered with 413. 4 MiB are enough for a batch of some 20,000 members."""
    max_body_values: PositiveInt = 200_000
    """Most values in the body of a request: three times those of a batch of 5,000 members."""
    keep_alive_seconds: PositiveInt = 75
    """How long an idle connection stays open: clients reuse a connection after sleeping for seconds."""
    max_connections: PositiveInt = 500
    """Most connections of one process; fewer if its limit on file descriptors (``LimitNOFILE``) is too low. When the
    limit is reached, connections that wait for their clients are closed to make room, beginning with those of the
    client that has the most."""
    head_seconds: PositiveFloat = 20.0
    """How long a client may take for the head of a request, counted from its first byte or from connecting."""
    body_seconds: PositiveFloat = 120.0
    """How long a client may take for the whole body: 4 MiB in this time is 35 KiB a second."""
    answer_seconds: PositiveFloat = 120.0
    """How long a client may take to read an answer."""


class KeystoneSettings(Group):
    """How the API asks Keystone to validate callers' tokens. Required if ``api.auth`` is ``keystone``."""

    auth_url: Annotated[str, AfterValidator(check_web_url)]
    """URL of Keystone: ``https://keystone.example:5000/v3``."""
    www_authenticate_uri: Annotated[str, AfterValidator(check_web_url)] | None = None
    """Where callers without a token are sent; ``auth_url`` if not set."""
    username: str
    """The service user. In its project it needs a role that may validate tokens: ``service``, or ``admin``."""
    password: SecretStr
    """The service user's password; better set in the environment (``PORTICO_KEYSTONE__PASSWORD``) than in a file."""
    user_domain_name: str = "Default"
    project_name: str = "service"
    project_domain_name: str = "Default"
    region: str | None = None
    """The region whose Keystone is used; any region if not set."""
    interface: Literal["internal", "public", "admin"] = "internal"
    """Which of Keystone's endpoints in the catalog is used."""
    cafile: Path | None = None
    """File with the CA certificates that Keystone's certificate is checked against; the system's if not set."""
    insecure: bool = False
    """Do not check Keystone's certificate at all. Anyone between the API and Keystone can then impersonate any
    caller."""
    timeout_seconds: PositiveInt = 10
    """How long Keystone may take to answer."""
    cache_seconds: PositiveInt = 300
    """How long a validated token is cached: a revoked token is accepted for at most this long."""
    cache_size: PositiveInt = 2000
    """Tokens that one process caches, some 10 KiB each with their catalogs; the least recently used is evicted
    first."""


class QuotaSettings(Group):
    """The quota of a project that has no quota of its own for a kind; -1 means no limit."""

    load_balancer: int = Field(default=-1, ge=-1)
    listener: int = Field(default=-1, ge=-1)
    pool: int = Field(default=-1, ge=-1)
    member: int = Field(default=-1, ge=-1)
    health_monitor: int = Field(default=-1, ge=-1)
    l7policy: int = Field(default=-1, ge=-1)
    l7rule: int = Field(default=-1, ge=-1)
