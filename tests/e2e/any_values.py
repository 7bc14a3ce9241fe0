"""Values for each attribute that a request can set, ordinary and odd. Most are allowed; some are allowed only in
combination with others."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from portico.ports.network import SUBNET_ID
from portico.resources.kinds import DESCRIBED, Kind
from tests.support.ordinary_values import rest_of

Values = Mapping[str, st.SearchStrategy[Any]]

NEVER = frozenset(
    {
        # Ownership and addresses, which the tests of the API and of the networks cover.
        *("project_id", "provider", "flavor_id", "availability_zone", "additional_vips"),
        *("vip_address", "vip_subnet_id", "vip_network_id", "vip_port_id", "vip_qos_policy_id", "vip_sg_ids"),
    }
)
"""Attributes that other tests cover."""

_PRINTABLE = st.characters(exclude_categories=("C", "Z"), include_characters=" ")
_TEXT = st.text(_PRINTABLE, max_size=12) | st.just("x" * 255)
_TOKENS = st.text(string.ascii_letters + string.digits + "!#$%&'*+.^_`|~-", min_size=1, max_size=12)
_PORTS = st.sampled_from([1, 80, 8080, 65535])
_MILLISECONDS = st.sampled_from([0, 1, 50, 5000, 50000, 2147483647])
_SECONDS = st.sampled_from([1, 5, 2147483])
_PERIODS = st.integers(1, 10) | st.just(2147483)
_COUNTS = st.integers(1, 10)
_ADDRESSES = st.sampled_from(
    [
        *("127.0.0.1", "127.0.0.66", "10.0.0.1", "192.0.2.255", "2001:db8::1", "fd12:3456::a:b", "::1"),
        # Unusual spellings, and special addresses, which are refused.
        *("2001:0DB8:0:0:0:0:0:0002", "2001:db8::0:3", "FD12:3456::A:C", "::ffff:10.0.0.2"),
        *("64:ff9b::c000:201", "0.0.0.1", "169.254.169.254", "fd00:ec2::254", "2002:7f00:1::"),
    ]
)
_PATHS = st.text(string.ascii_letters + string.digits + "._~:/?#[]@!$&'()*+,;=%-", max_size=20).map("/{}".format)
_NAMES = st.sampled_from(["www.example.com", "a", "10.0.0.1", "x-1.example.", ".".join(["x" * 63] * 3)])
URLS = st.sampled_from(["https://www.example.com/a?b=c", "http://[2001:db8::1]:8080", "http://a.example/%20%[src]#'"])
_TLS: Values = {
    "tls_ciphers": st.sampled_from([None, "", "HIGH:!aNULL", "TLS_AES_128_GCM_SHA256"]),
    "tls_versions": st.none() | st.lists(st.sampled_from(["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]), max_size=3),
    "alpn_protocols": st.none() | st.lists(st.sampled_from(["h2", "http/1.1", "http/1.0"]), max_size=3),
}
_REFERENCES = st.sampled_from([None, "", "", "", "https://keys.example/v1/containers/1"])
_OWN: Values = {
    "name": _TEXT,
    "admin_state_up": st.sampled_from([True, True, False]),
    "tags": st.lists(st.text(_PRINTABLE, max_size=8) | st.just(""), max_size=3),
}
_DESCRIBED: Values = {**_OWN, "description": _TEXT}
_PERSISTENCE = st.one_of(
    st.none(),
    st.fixed_dictionaries({"type": st.just("SOURCE_IP")}, optional={"persistence_timeout": _SECONDS}),
    st.fixed_dictionaries({"type": st.just("HTTP_COOKIE")}, optional={"persistence_timeout": _SECONDS}),
    st.fixed_dictionaries(
        {"type": st.just("APP_COOKIE"), "cookie_name": _TOKENS},
        optional={"persistence_timeout": _SECONDS, "persistence_granularity": st.just("255.255.255.255")},
    ),
)
_HEADERS = st.dictionaries(
    st.sampled_from(["X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto"]),
    st.sampled_from(["true", "false", "True", "FALSE"]),
)
_NETWORKS = st.sampled_from(
    ["0.0.0.0/0", "127.0.0.0/8", "10.1.2.0/24", "192.0.2.7/32", "10.9.9.9/8", "192.0.2.8", "2001:DB8:0::1/32"]
)
_EXPRESSIONS = st.text("ab/.*+?()[]{}|^$\\,12-", min_size=1, max_size=8)

REQUIRED: Mapping[str, Values] = {
    "load_balancer": {},
    "listener": {
        "protocol": st.sampled_from(["HTTP", "HTTP", "HTTP", "HTTPS", "TCP", "TCP", "UDP", "TERMINATED_HTTPS"])
    },
    "pool": {
        "protocol": st.sampled_from(["HTTP", "HTTP", "HTTP", "HTTPS", "TCP", "PROXY", "PROXYV2", "SCTP"]),
        "lb_algorithm": st.sampled_from(["ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP", "SOURCE_IP_PORT"]),
    },
    "member": {"address": _ADDRESSES, "protocol_port": _PORTS},
    "health_monitor": {
        "type": st.sampled_from(["HTTP", "HTTP", "HTTPS", "HTTPS", "TCP", "TLS-HELLO", "PING", "UDP-CONNECT"]),
        "delay": _PERIODS,
        "timeout": _PERIODS,
        "max_retries": _COUNTS,
    },
    "l7policy": {"action": st.sampled_from(["REDIRECT_TO_POOL", "REDIRECT_TO_URL", "REDIRECT_PREFIX", "REJECT"])},
    "l7rule": {
        "type": st.sampled_from(["HOST_NAME", "PATH", "FILE_TYPE", "HEADER", "COOKIE", "SSL_CONN_HAS_CERT"]),
        "compare_type": st.sampled_from(["REGEX", "STARTS_WITH", "ENDS_WITH", "CONTAINS", "EQUAL_TO"]),
        "value": st.one_of(
            st.sampled_from(["/admin", "www.example.com", "jpg", "-i", "a'b", "%[src]", "$HOME"]),
            st.sampled_from(['"gold plus"', "'a'", "a\\ b", '"', "a b", "www.example.com:8080", "[2001:db8::1]:80"]),
            st.sampled_from([".jpg", "tar.gz", r"\.(jpg|png)$", "^/api/v[0-9]+/", "(a+)+$", "(?i)^x", "a{70000}"]),
            _EXPRESSIONS,
        ),
    },
}
"""By kind: the attributes that every request has. The test itself chooses ports and references to other objects."""
_OPTIONAL: Mapping[str, Values] = {
    "load_balancer": _DESCRIBED,
    "listener": {
        **_DESCRIBED,
        **_TLS,
        "connection_limit": st.sampled_from([-1, 0, 1, 2000, 2147483647]),
        **dict.fromkeys(("timeout_client_data", "timeout_member_connect", "timeout_member_data"), _MILLISECONDS),
        "timeout_tcp_inspect": _MILLISECONDS,
        "insert_headers": st.none() | _HEADERS,
        "allowed_cidrs": st.none() | st.lists(_NETWORKS, max_size=4) | st.just(["10.0.0.0/8"] * 200),
        **dict.fromkeys(("default_tls_container_ref", "client_ca_tls_container_ref"), _REFERENCES),
        "client_crl_container_ref": _REFERENCES,
        "sni_container_refs": st.sampled_from([None, [], [""], ["https://keys.example/v1/containers/1"]]),
        "client_authentication": st.sampled_from(["NONE", "NONE", "OPTIONAL"]),
        "hsts_max_age": st.sampled_from([None, None, 0]),
        "hsts_include_subdomains": st.sampled_from([False, False, True]),
        "hsts_preload": st.just(False),
    },
    "pool": {
        **_DESCRIBED,
        **_TLS,
        "session_persistence": _PERSISTENCE,
        "tls_enabled": st.sampled_from([False, False, True]),
        **dict.fromkeys(("tls_container_ref", "ca_tls_container_ref", "crl_container_ref"), _REFERENCES),
    },
    "member": {
        **_OWN,
        "weight": st.sampled_from([0, 1, 10, 256]),
        "subnet_id": st.sampled_from([None, SUBNET_ID]),
        "monitor_address": st.none() | _ADDRESSES,
    },
    "health_monitor": {
        **_OWN,
        "http_version": st.sampled_from([1.0, 1.1, None]),
        "url_path": _PATHS | st.just("/" + "x" * 2047),
        "expected_codes": st.sampled_from(["200", "200,202, 301", "200-204", "204-200", "100", "500-599", None]),
        "domain_name": st.none() | _NAMES,
    },
    "l7policy": {
        **_DESCRIBED,
        "redirect_url": st.none() | URLS,
        "redirect_prefix": st.none() | URLS,
        "position": st.sampled_from([1, 2, 7, 2147483647]),
    },
    "l7rule": {
        **{name: one for name, one in _OWN.items() if name != "name"},
        "key": st.none() | _TOKENS,
    },
}
"""By kind: optional attributes whose type alone does not tell which values to try, or some of whose values matter
more."""
OF_THE_TEST = frozenset({"protocol_port", "default_pool_id", "redirect_pool_id"})
"""Attributes whose values depend on other objects; the test chooses them."""


def _optional(kind: Kind) -> Values:
    """The values named above, and for every other optional attribute the values that its type suggests."""
    named = {*REQUIRED[kind.name], *_OPTIONAL[kind.name], *NEVER, *OF_THE_TEST}
    return {**_OPTIONAL[kind.name], **{name: st.sampled_from(some) for name, some in rest_of(kind, named).items()}}


OPTIONAL: Mapping[str, Values] = {kind.name: _optional(kind) for kind in DESCRIBED if kind.name in REQUIRED}
"""By kind: optional attributes."""

OFTEN: Mapping[str, list[str]] = {"pool": ["session_persistence"], "health_monitor": ["expected_codes"]}
"""By kind: the optional attributes that matter most to other objects or to HAProxy."""


def bodies(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    """Bodies of a POST: every required attribute, and often some of the optional ones."""
    few = st.lists(st.sampled_from(sorted(OPTIONAL[kind])), max_size=3, unique=True)
    often = st.sampled_from([OFTEN.get(kind, []), []])
    return st.tuples(few, often).flatmap(
        lambda names: st.fixed_dictionaries({**REQUIRED[kind], **_only(kind, [*names[0], *names[1]])})
    )


def changes(kind: str, immutable: frozenset[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Bodies of a PUT: a few attributes, each of them sometimes null."""
    values = {**REQUIRED[kind], **OPTIONAL[kind]}
    few = st.lists(st.sampled_from(sorted(set(values) - immutable)), min_size=1, max_size=3, unique=True)
    return few.flatmap(
        lambda names: st.fixed_dictionaries({name: st.one_of(values[name], values[name], st.none()) for name in names})
    )


def _only(kind: str, names: list[str]) -> dict[str, st.SearchStrategy[Any]]:
    return {name: OPTIONAL[kind][name] for name in names}
