"""What may be said about each kind of object, as types: for editors, for mypy, and for whoever reads a signature.

``<Kind>Fields`` are what a new object is described with, ``<Kind>Updates`` what of it may change later: there, None
resets an attribute to its default, and what is not named stays. The ``*Spec`` of each kind decides what is taken, and
has the ranges and rules; ``tests/unit/test_fields.py`` holds the two to the same names and types.
"""

from typing import Literal, Required, TypedDict

TlsVersion = Literal["SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]
AlpnProtocol = Literal["h2", "http/1.1", "http/1.0"]
Algorithm = Literal["ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP", "SOURCE_IP_PORT"]
HttpMethod = Literal["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"]
PolicyAction = Literal["REDIRECT_TO_POOL", "REDIRECT_TO_URL", "REDIRECT_PREFIX", "REJECT"]
Comparison = Literal["REGEX", "STARTS_WITH", "ENDS_WITH", "CONTAINS", "EQUAL_TO"]
RuleType = Literal[
    "HOST_NAME", "PATH", "FILE_TYPE", "HEADER", "COOKIE", "SSL_CONN_HAS_CERT", "SSL_VERIFY_RESULT", "SSL_DN_FIELD"
]


class _Updates(TypedDict, total=False):
    name: str | None
    description: str | None
    admin_state_up: bool | None
    tags: list[str] | None


class _New(TypedDict, total=False):
    id: str | None
    project_id: str | None


class LoadBalancerUpdates(_Updates, total=False):
    """What may change of a load balancer."""

    vip_qos_policy_id: str | None
    vip_sg_ids: list[str] | None


class AdditionalVip(TypedDict, total=False):
    """One more address of a load balancer."""

    subnet_id: str | None
    ip_address: str | None


class LoadBalancerFields(LoadBalancerUpdates, _New, total=False):
    """What a load balancer is described with."""

    provider: Literal["amphora", "octavia"] | None
    flavor_id: str | None
    availability_zone: str | None
    vip_address: str | None
    vip_subnet_id: str | None
    vip_network_id: str | None
    vip_port_id: str | None
    additional_vips: list[AdditionalVip] | None


class ListenerUpdates(_Updates, total=False):
    """What may change of a listener."""

    default_pool_id: str | None
    connection_limit: int | None
    timeout_client_data: int | None
    timeout_member_connect: int | None
    timeout_member_data: int | None
    timeout_tcp_inspect: int | None
    insert_headers: dict[str, str] | None
    allowed_cidrs: list[str] | None
    default_tls_container_ref: str | None
    sni_container_refs: list[str] | None
    client_authentication: Literal["NONE", "OPTIONAL", "MANDATORY"] | None
    client_ca_tls_container_ref: str | None
    client_crl_container_ref: str | None
    tls_ciphers: str | None
    tls_versions: list[TlsVersion] | None
    alpn_protocols: list[AlpnProtocol] | None
    hsts_max_age: int | None
    hsts_include_subdomains: bool | None
    hsts_preload: bool | None


class ListenerFields(ListenerUpdates, _New, total=False):
    """What a listener is described with."""

    protocol: Required[Literal["HTTP", "HTTPS", "TCP", "TERMINATED_HTTPS", "UDP", "SCTP", "PROMETHEUS"]]
    protocol_port: Required[int]


class SessionPersistence(TypedDict, total=False):
    """What makes requests of one client go to one member."""

    type: Literal["SOURCE_IP", "HTTP_COOKIE", "APP_COOKIE"]
    cookie_name: str | None
    persistence_timeout: int | None
    persistence_granularity: str | None


class _PoolOptions(_Updates, total=False):
    session_persistence: SessionPersistence | None
    tls_enabled: bool | None
    tls_container_ref: str | None
    ca_tls_container_ref: str | None
    crl_container_ref: str | None
    tls_ciphers: str | None
    tls_versions: list[TlsVersion] | None
    alpn_protocols: list[AlpnProtocol] | None


class PoolUpdates(_PoolOptions, total=False):
    """What may change of a pool."""

    lb_algorithm: Algorithm


class PoolFields(_PoolOptions, _New, total=False):
    """What a pool is described with."""

    protocol: Required[Literal["HTTP", "HTTPS", "TCP", "PROXY", "PROXYV2", "UDP", "SCTP"]]
    lb_algorithm: Required[Algorithm]


class MemberUpdates(_Updates, total=False):
    """What may change of a member."""

    weight: int | None
    backup: bool | None
    monitor_address: str | None
    monitor_port: int | None


class MemberFields(MemberUpdates, _New, total=False):
    """What a member is described with."""

    address: Required[str]
    protocol_port: Required[int]
    subnet_id: str | None


class _MonitorOptions(_Updates, total=False):
    max_retries_down: int | None
    http_method: HttpMethod | None
    http_version: float | None
    url_path: str | None
    expected_codes: str | None
    domain_name: str | None


class HealthMonitorUpdates(_MonitorOptions, total=False):
    """What may change of a health monitor."""

    delay: int
    timeout: int
    max_retries: int


class HealthMonitorFields(_MonitorOptions, _New, total=False):
    """What a health monitor is described with."""

    type: Required[Literal["HTTP", "HTTPS", "PING", "TCP", "TLS-HELLO", "UDP-CONNECT", "SCTP"]]
    delay: Required[int]
    timeout: Required[int]
    max_retries: Required[int]


class _PolicyOptions(_Updates, total=False):
    redirect_pool_id: str | None
    redirect_url: str | None
    redirect_prefix: str | None
    redirect_http_code: Literal[301, 302, 303, 307, 308] | None
    position: int | None


class L7PolicyUpdates(_PolicyOptions, total=False):
    """What may change of an L7 policy."""

    action: PolicyAction


class L7PolicyFields(_PolicyOptions, _New, total=False):
    """What an L7 policy is described with."""

    action: Required[PolicyAction]


class _RuleOptions(_Updates, total=False):
    key: str | None
    invert: bool | None


class L7RuleUpdates(_RuleOptions, total=False):
    """What may change of an L7 rule."""

    type: RuleType
    compare_type: Comparison
    value: str


class L7RuleFields(_RuleOptions, _New, total=False):
    """What an L7 rule is described with."""

    type: Required[RuleType]
    compare_type: Required[Comparison]
    value: Required[str]
