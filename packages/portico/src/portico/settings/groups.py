"""The groups of settings that are not a driver's, each with what it means. ``tests/unit/test_settings.py`` pins the
defaults."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt, SecretStr

from portico.settings.group import Group
from portico.settings.urls import check_database_url, check_web_url


class DatabaseSettings(Group):
    """Where the truth is kept."""

    # There may be a password in it.
    url: Annotated[str, AfterValidator(check_database_url)] = Field(default="sqlite:///portico.db", repr=False)
    """SQLAlchemy URL: ``sqlite:///PATH``, ``postgresql+psycopg://...`` or ``mariadb+pymysql://...``."""
    pool_size: PositiveInt = 20
    """Connections a process keeps at most."""
    retries: PositiveInt = 8
    """How often a transaction is tried again after a deadlock, a serialization failure or a lost connection."""


class WorkerSettings(Group):
    """How operations are run."""

    threads: PositiveInt = 4
    """Operations that one ``portico worker`` process runs at once."""
    executor_threads: PositiveInt = 32
    """Size of the one thread pool that all TaskFlow engines of a process share: enough that tasks which wait for a
    slot or a slow agent leave room for others."""
    lease_seconds: float = Field(default=20.0, ge=1, le=600)
    """How long a lease lives without being renewed: the longest that anything waits after a worker died."""
    poll_seconds: PositiveFloat = 1.0
    """How often an idle worker looks for work that no notification told it about."""
    max_attempts: PositiveInt = 3
    """An operation that was started so often and never finished is set aside as FAILED."""
    task_retries: int = Field(default=3, ge=0, le=20)
    """How often a driver call that failed in a transient way is tried again within one attempt."""
    retry_seconds: PositiveFloat = 0.5
    """Pause before the first of these tries; it doubles each time."""
    batch_seconds: float = Field(default=0.1, ge=0)
    """Least time in which changes of one load balancer gather while they keep coming; four times what the last batch
    took where that is more, ten times this at most. The first change after a quiet time never waits."""
    batch_size: int = Field(default=1000, ge=1, le=5000)
    """Operations applied as one configuration at most."""
    wait_seconds: PositiveFloat = 600.0
    """How long a direct call waits for its operation when another worker has the load balancer."""
    stop_seconds: PositiveFloat = 30.0
    """A worker that is asked to stop finishes what it runs, or hands it over after this time."""


class MessagingSettings(Group):
    """How workers in other processes are told to look through a broker, by oslo.messaging."""

    url: SecretStr = SecretStr("")
    """``rabbit://user:password@host:5672/vhost``, further ``,user:password@host:port`` for a cluster, and options of
    oslo.messaging's driver as a query (``?ssl=true&ssl_ca_file=/etc/ssl/rabbit.pem``). Empty: no
    broker. Workers are woken by the database where that is PostgreSQL, and find their work by polling elsewhere."""
    topic: str = Field(default="portico", pattern=r"^[A-Za-z0-9._-]{1,100}$")
    """Name of the queue: one for each deployment that shares a broker."""
    prefetch: PositiveInt = 16
    """Messages that a worker is sent before it has taken the ones before."""
    heartbeat_seconds: PositiveInt = 15
    """A broker that is silent for so long is given up, and connected to again."""
    retry_seconds: PositiveFloat = 1.0
    """Pause after a message that could not be delivered."""
    backlog: PositiveInt = 1000
    """Messages that wait to be sent, at most; the oldest are dropped."""


class LimitSettings(Group):
    """First values of the named limits over all workers; later ones are kept in the database
    (``portico.store.claims.slots``). 0 means no limit."""

    operations: int = Field(default=200, ge=0)
    """Load balancers being changed at once."""
    amphora_builds: int = Field(default=20, ge=0)
    """Amphorae being built at once."""
    failovers: int = Field(default=10, ge=0)
    """Failovers running at once."""


def _check_network(value: str) -> str:
    return str(ip_network(value))


class ValidationSettings(Group):
    """What users may ask for."""

    allow_ping_monitors: bool = False
    """HAProxy has no ICMP check; PING monitors run an external program and are refused unless allowed."""
    allow_loopback_members: bool = False
    """Members in 127.0.0.0/8 and ::1, where the hosts that carry amphorae keep what is their own. ``portico up`` and
    ``open_embedded``, which are for one machine and one person, allow them unless told not to."""
    allow_link_local_members: bool = False
    """Members in 169.254.0.0/16 and fe80::/10, where clouds keep their metadata services."""
    allow_special_members: bool = False
    """Members at the other addresses of clouds' own services, and in reserved networks
    (``portico.resources.member_addresses.SPECIAL`` names them all)."""
    reserved_networks: tuple[Annotated[str, AfterValidator(_check_network)], ...] = ()
    """Networks that no member may be in: name the management networks here (``["10.20.0.0/16", "fd00:1::/64"]``)."""
    lowest_listener_port: int = Field(default=1, ge=1, le=65535)
    """Listeners below are refused: where amphorae are not root and lack CAP_NET_BIND_SERVICE, 1024. ``portico up`` and
    ``open_embedded`` find out themselves, unless told."""
    max_members: PositiveInt = 5000
    """Members in one load balancer."""
    max_listeners: PositiveInt = 500
    """Listeners of one load balancer."""
    max_pools: PositiveInt = 500
    """Pools of one load balancer."""
    max_l7policies: PositiveInt = 200
    """L7 policies of one listener."""
    max_parts: PositiveInt = 2000
    """Listeners, pools, members and all else that a load balancer may be described with in one request. They are
    written in one transaction, a millisecond and more for each."""
    max_regular_expressions: PositiveInt = 100
    """L7 rules of one listener that compare by REGEX. Each may take HAProxy up to 2.5 ms for every text that it looks
    at, and a request that keeps HAProxy busy for more than a second ends its process."""


class HealthSettings(Group):
    """How load balancers are watched."""

    poll_seconds: PositiveFloat = 2.0
    """How often each amphora is asked what it has counted and how it finds its members."""
    threads: PositiveInt = 8
    """Agents that are asked at the same time; those that did not answer the last time have two threads of their own."""
    request_seconds: PositiveFloat = 3.0
    """How long an agent may take to answer."""
    misses: PositiveInt = 3
    """An amphora that has not answered so many times in a row is logged. What it said last stays."""
    lease_seconds: PositiveFloat = 15.0
    """One health manager asks, however many there are: how long after its death another one takes over."""


class ApiSettings(Group):
    """How the API is served."""

    host: str = "127.0.0.1"
    """Address to listen at. Without authentication (``noauth``), everybody who reaches it may do everything."""
    port: int = Field(default=9876, ge=0, le=65535)
    allowed_hosts: tuple[str, ...] = ()
    """Without authentication and on a loopback address: further names that callers may know the API by, for example
    that of a proxy before it. Any other is refused: it is how pages of the web get at what listens on loopback."""
    trusted_proxies: tuple[Annotated[str, AfterValidator(_check_network)], ...] = ("127.0.0.1/32", "::1/128")
    """Addresses and networks of proxies whose ``X-Forwarded-Proto`` is believed: links begin with the scheme that the
    caller used."""
    path_prefix: str = Field(default="", pattern=r"^(/[A-Za-z0-9._~-]+)*$")
    """The path below which a proxy shows the API, as in ``https://cloud.example/load-balancer``: links begin with it.
    The proxy may pass it on or take it away."""
    auth: Literal["noauth", "keystone"] = "noauth"
    """Who callers are: ``noauth`` takes everybody for an administrator, ``keystone`` asks Keystone about their tokens
    (``KeystoneSettings``)."""
    project_id: str = "default"
    """With ``noauth``, the project of a caller who names none."""
    policy_file: Path | None = None
    """YAML file with the rules of the policy that differ from the defaults (docs/reference/policy.md). It is read
    again when it changes."""
    threads: PositiveInt = 8
    """Requests that one process works on at once; each may hold a database connection."""
    max_body_bytes: PositiveInt = 4 * 1024 * 1024
    """A longer request body is answered with 413; 4 MiB hold a batch of some 20,000 members."""
    max_body_values: PositiveInt = 200_000
    """Values in the body of a request: three times those of a batch of 5,000 members."""
    keep_alive_seconds: PositiveInt = 75
    """How long an idle connection stays open: clients use theirs again after seconds of sleep."""
    max_connections: PositiveInt = 500
    """Connections that one process has at most; fewer where its limit on descriptors (``LimitNOFILE``) is too low. When
    there are as many, those make room that wait for their clients, first those of the client that has the most."""
    head_seconds: PositiveFloat = 20.0
    """How long a client may take for the head of a request, from its first byte or from connecting."""
    body_seconds: PositiveFloat = 120.0
    """How long a client may take for the whole body: 4 MiB in this time are 35 KiB a second."""
    answer_seconds: PositiveFloat = 120.0
    """How long a client may take to read an answer."""


class KeystoneSettings(Group):
    """How the API asks Keystone about its callers' tokens. Needed where ``api.auth`` is ``keystone``."""

    auth_url: Annotated[str, AfterValidator(check_web_url)]
    """Where Keystone is asked: ``https://keystone.example:5000/v3``."""
    www_authenticate_uri: Annotated[str, AfterValidator(check_web_url)] | None = None
    """Where callers without a token are sent; ``auth_url`` if not said."""
    username: str
    """The service user that asks. It needs a role in its project that may validate tokens: ``service``, or admin."""
    password: SecretStr
    """Its password; better from the environment (``PORTICO_KEYSTONE__PASSWORD``) than from a file."""
    user_domain_name: str = "Default"
    project_name: str = "service"
    project_domain_name: str = "Default"
    region: str | None = None
    """The region whose Keystone is asked; any if not said."""
    interface: Literal["internal", "public", "admin"] = "internal"
    """Which of Keystone's endpoints in the catalog is asked."""
    cafile: Path | None = None
    """Certificates of the authorities that Keystone's certificate is checked against; else the system's."""
    insecure: bool = False
    """Do not check Keystone's certificate at all: anybody between could then say who callers are."""
    timeout_seconds: PositiveInt = 10
    """How long Keystone may take for an answer."""
    cache_seconds: PositiveInt = 300
    """How long the answer about a token holds: a token that is revoked goes on as long at most."""
    cache_size: PositiveInt = 2000
    """Tokens remembered by one process, some 10 KiB each with their catalogs; the one that was not used for longest
    goes first."""


class QuotaSettings(Group):
    """What a project may have where its own quota says nothing; -1 means no limit."""

    load_balancer: int = Field(default=-1, ge=-1)
    listener: int = Field(default=-1, ge=-1)
    pool: int = Field(default=-1, ge=-1)
    member: int = Field(default=-1, ge=-1)
    health_monitor: int = Field(default=-1, ge=-1)
    l7policy: int = Field(default=-1, ge=-1)
    l7rule: int = Field(default=-1, ge=-1)
