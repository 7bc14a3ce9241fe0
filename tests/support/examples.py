"""Examples of each kind: a valid description, a change, the errors if it is missing, and good and bad values of each of
its fields. This is the only place where tests describe a new kind."""

from __future__ import annotations

from typing import Any

from portico.errors import (
    HMNotFound,
    L7PolicyNotFound,
    L7RuleNotFound,
    LBNotFound,
    ListenerNotFound,
    MemberNotFound,
    NoSuitableLB,
    NoSuitablePool,
    PoolNotFound,
    PorticoError,
)
from portico.resources.kinds import DESCRIBED, Kind
from portico.settings import ValidationSettings

ID = "0a1b2c3d-0000-4000-8000-00000000000a"
RULES = ValidationSettings(allow_loopback_members=True)
PERMISSIVE = ValidationSettings(allow_ping_monitors=True)
STRICT = ValidationSettings()
LONG = "x" * 256

Values = dict[str, Any]

VALID: dict[str, Values] = {
    "load_balancer": {},
    "listener": {"protocol": "HTTP", "protocol_port": 80},
    "pool": {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"},
    "member": {"address": "192.0.2.1", "protocol_port": 8080},
    "health_monitor": {"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2},
    "l7policy": {"action": "REJECT"},
    "l7rule": {"type": "PATH", "compare_type": "STARTS_WITH", "value": "/admin"},
}
"""The required attributes of each kind."""
CHANGES: dict[str, Values] = {
    "load_balancer": {"admin_state_up": False},
    "listener": {"connection_limit": 77},
    "pool": {"lb_algorithm": "LEAST_CONNECTIONS"},
    "member": {"weight": 7},
    "health_monitor": {"delay": 9},
    "l7policy": {"redirect_url": "https://www.example.com/changed"},
    "l7rule": {"value": "/changed"},
}
"""By kind: a change that changes the object's configuration."""
MISSING: dict[str, type[PorticoError]] = {
    "load_balancer": LBNotFound,
    "listener": ListenerNotFound,
    "pool": PoolNotFound,
    "member": MemberNotFound,
    "health_monitor": HMNotFound,
    "l7policy": L7PolicyNotFound,
    "l7rule": L7RuleNotFound,
}
"""By kind: the contract's error for an id that does not exist."""
MISSING_PARENT: dict[str, type[PorticoError]] = {
    "listener": NoSuitableLB,
    "pool": NoSuitableLB,
    "member": NoSuitablePool,
    "health_monitor": NoSuitablePool,
}
"""By kind: a create's error if its object does not exist; other kinds raise the error in ``MISSING``."""
KINDS = [kind.name.value for kind in DESCRIBED]
SPECS = {kind.name.value: kind.spec for kind in DESCRIBED}


def is_nested(kind: Kind) -> bool:
    """Whether the API has the kind's objects below their parent, whose id is part of the path."""
    return (
        kind.parent is not None
        and kind.view.fields.get(kind.parent.id_field) is not None
        and (kind.parent.id_field not in kind.view.shown)
    )


def path_of(kind: Kind, parent_id: str) -> str:
    """The API's path of the kind's objects. ``parent_id`` is the parent's id if the kind is nested."""
    if kind.parent is None or not is_nested(kind):
        return f"/v2.0/lbaas/{kind.view.collection}"
    return f"/v2.0/lbaas/{kind.parent.view.collection}/{parent_id}/{kind.view.collection}"


def place_of(kind: Kind, parent_id: str) -> Values:
    """The part of a POST's body that names the parent."""
    if kind.parent is None or is_nested(kind):
        return {}
    return {f"{kind.parent.view.root}_id": parent_id}


_PERSISTENCE = "session_persistence"
_COOKIE = {"type": "APP_COOKIE", "cookie_name": "JSESSIONID"}
_URL = {"action": "REDIRECT_TO_URL", "redirect_url": "https://www.example.com/a?b=c"}
_PREFIX = {"action": "REDIRECT_PREFIX", "redirect_prefix": "https://www.example.com"}
_HEADER = {"type": "HEADER", "compare_type": "EQUAL_TO", "key": "X-Tenant", "value": "blue"}

_REFERENCES = ("default_tls_container_ref", "client_ca_tls_container_ref", "client_crl_container_ref")
_POOL_REFERENCES = ("tls_container_ref", "ca_tls_container_ref", "crl_container_ref")
_TLS_KEPT = {"tls_versions": ["TLSv1.3", "TLSv1.2"], "tls_ciphers": "HIGH:!aNULL", "alpn_protocols": ["h2", "http/1.1"]}
"""TLS attributes that are accepted although no TLS is spoken."""
GOOD_EXPRESSIONS = [
    r"^/api/.*/users/[0-9]+/.*$",
    r"^/.*/(bar|baz)/[0-9]+/.*\.html$",
    r"(?i)\.(jpe?g|png|gif)$",
    r"^/(?!api).*$",
    r"^/[^/]+/[^/]+/[^/]+$",
    r"^/blog/\d{4}/\d{2}/[\w-]+/?$",
    r"(iPhone|iPod|Android.*Mobile|Windows.*Phone)",
    r"Mozilla/[0-9.]+.*Firefox",
    r"^([a-z0-9-]+\.){0,3}example\.com$",
    r"([a-z0-9-]+\.)?example\.com$",
    r"^/(foo|bar)+$",
    "(a|a)*$",
    r"^(?=.*foo)(?=.*bar)",
    r"MSIE [0-9]\.",
    r"[[:alpha:]_-]+\.php",
    r"[]a-][^]\]]",
    r"a{1000}",
    "a|",
    ".*",
    r"\$HOME \x41",
]
BAD_EXPRESSIONS = [
    *("(", ")", "[", "[]", "a)", "(a", "\\", "*a", "^*", "a**", "a{3,2}", "[b-a]", "(?=a)*"),
    # Python and the engines, or different engines, understand these differently or not at all.
    *("(?u)x", "(?x)a b", "a(?i)b", "a{70000}", r"\u0041", r"\x4", r"\x{41}", "a{,3}", "{", "a++", "(?>a)", "(?P<n>a)"),
    *(r"(a)\1", r"(?<=a)b", "(?#a)", "(*ACCEPT)", r"a\Kb", r"\Qa\E", r"\p{L}", r"\R", r"\C", r"\N", r"\07", "(?R)"),
    *(r"[\w-.]", r"[a-\d]", "[[.a.]]", "[[=a=]]", "[[:word:]]", "(?(1)a)", "naïve", r"[\b]"),
    # Repeated repetitions.
    *(
        "(a+)+",
        "(a*)*",
        "(a|b*)+",
        r"(\w+\s?)+$",
        "([a-zA-Z]+)*$",
        "((a)+b?)*c",
        "^(a+){0,100}b",
        "^(([a-z])+.)+[A-Z]$",
    ),
    *(
        "(.*a){20}",
        "(a|aa)+$",
        "(a?b?)*c",
        "^((a{0,9}){0,9}){0,9}b",
        "(a{1000}){1000}",
        "^(x{0,100}){0,100}y",
    ),
    # Expressions whose steps grow with the square of the text's length.
    *("foo[a-z]+bar", "^a*a*b", r"^/.*[a-z]*1$", "^/a.*b[a-z]*c.*d", "(.*a|.*b){2}c"),
    "(" * 11 + "a" + ")" * 11,
]

GOOD: dict[str, list[Values]] = {
    "load_balancer": [
        {"name": "wëb 🌍", "description": "d" * 255, "tags": ["a", "", "b"], "admin_state_up": False},
        {"vip_address": "127.64.0.1", "vip_subnet_id": ID, "vip_network_id": ID, "vip_port_id": ID},
        {"vip_address": "2001:DB8::1", "additional_vips": [{"subnet_id": ID}, {"ip_address": "10.0.0.1"}]},
        {"provider": "amphora", "flavor_id": ID, "availability_zone": "az1", "vip_sg_ids": [ID]},
        {"vip_qos_policy_id": ID, "project_id": "p" * 64},
    ],
    "listener": [
        {"protocol": "TCP", "protocol_port": 1},
        {"protocol": "HTTPS", "protocol_port": 65535, "allowed_cidrs": ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"]},
        {"connection_limit": -1},
        {"connection_limit": 1000000, "timeout_client_data": 0, "timeout_member_data": 2147483647},
        {"insert_headers": {"X-Forwarded-For": "TRUE", "X-Forwarded-Port": "false", "X-Forwarded-Proto": "true"}},
        {"default_pool_id": ID, "timeout_tcp_inspect": 100, "timeout_member_connect": 1},
        *({"protocol": name, **_TLS_KEPT} for name in ("HTTP", "HTTPS", "TCP")),
        {**dict.fromkeys(_REFERENCES, ""), "sni_container_refs": [""], "client_authentication": "NONE"},
        {"tls_versions": [], "alpn_protocols": [], "sni_container_refs": [], "tls_ciphers": ""},
        {"hsts_include_subdomains": False, "hsts_preload": False, "hsts_max_age": None},
    ],
    "pool": [
        *({"lb_algorithm": name} for name in ("ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP")),
        *({"protocol": name} for name in ("HTTPS", "TCP", "PROXY", "PROXYV2")),
        {_PERSISTENCE: {"type": "SOURCE_IP", "persistence_timeout": 2147483}},
        {_PERSISTENCE: {"type": "HTTP_COOKIE"}},
        {_PERSISTENCE: _COOKIE},
        {"protocol": "TCP", _PERSISTENCE: {"type": "SOURCE_IP"}},
        *({"protocol": name, **_TLS_KEPT} for name in ("HTTP", "HTTPS", "TCP", "PROXY")),
        {"tls_enabled": False, **dict.fromkeys(_POOL_REFERENCES, "")},
        {"tls_versions": [], "alpn_protocols": [], "tls_ciphers": ""},
    ],
    "member": [
        {"address": "127.0.0.1", "weight": 0, "backup": True},
        {"address": "2001:db8::5", "weight": 256, "monitor_address": "10.1.1.1", "monitor_port": 65535},
        {"subnet_id": ID, "name": "m"},
    ],
    "health_monitor": [
        {"type": "TCP"},
        {"type": "TLS-HELLO", "max_retries": 10, "max_retries_down": 1},
        {"type": "HTTPS", "http_method": "HEAD", "url_path": "/healthz?full=1&x=%20", "expected_codes": "200-204"},
        {"expected_codes": "200,202,301"},
        {"expected_codes": "200-200"},
        *({"type": name, "http_version": version} for name in ("TCP", "TLS-HELLO") for version in (1.0, 1.1)),
        *({"type": name, "domain_name": "www.example.com"} for name in ("TCP", "TLS-HELLO")),
        {"type": "TCP", "http_version": 1.0, "domain_name": "www.example.com"},
        {"http_version": 1.1, "domain_name": "www.example.com"},
        {"delay": 2147483, "timeout": 2147483},
        {"delay": 1, "timeout": 9, "expected_codes": "200, 202"},
    ],
    "l7policy": [
        {"action": "REDIRECT_TO_POOL", "redirect_pool_id": ID, "position": 1},
        {**_URL, "redirect_http_code": 308},
        {**_PREFIX, "redirect_http_code": 301, "position": 2147483647},
        {"action": "REJECT", "redirect_url": "https://a.example/", "redirect_http_code": 302},
    ],
    "l7rule": [
        {"type": "HOST_NAME", "compare_type": "REGEX", "value": r"^(a|b)\.example\.com$", "invert": True},
        {"type": "FILE_TYPE", "compare_type": "EQUAL_TO", "value": "jpg"},
        {"type": "COOKIE", "compare_type": "CONTAINS", "key": "session", "value": "a=b'*"},
        {"type": "PATH", "compare_type": "CONTAINS", "value": '"a b"', "key": ""},
        {"type": "HOST_NAME", "compare_type": "EQUAL_TO", "value": "app.example.com:8080"},
        {**_HEADER, "value": "'a b'"},
        {**_HEADER, "value": '"a "b" c"'},
        {**_HEADER, "value": "it's"},
        {**_HEADER, "type": "COOKIE", "value": '"gold plus"'},
        {**_HEADER, "type": "COOKIE", "value": "a,b"},
        *({"compare_type": "REGEX", "value": value} for value in GOOD_EXPRESSIONS),
        {"key": "X-Tenant"},
        _HEADER,
    ],
}

BAD: dict[str, list[tuple[Values, str]]] = {
    "load_balancer": [
        ({"name": LONG}, "name"),
        ({"name": 5}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"description": LONG}, "description"),
        ({"admin_state_up": "yes"}, "admin_state_up"),
        ({"admin_state_up": 1}, "admin_state_up"),
        ({"project_id": "p" * 65}, "project_id"),
        ({"tags": "web"}, "tags"),
        ({"tags": ["good", LONG]}, "tags.1"),
        ({"provider": "p" * 65}, "provider"),
        ({"availability_zone": LONG}, "availability_zone"),
        ({"flavor_id": "gold"}, "flavor_id"),
        ({"flavor_id": ID + "\n"}, "flavor_id"),
        ({"vip_address": "127.0.0"}, "vip_address"),
        ({"vip_address": "127.64.0.1\n"}, "vip_address"),
        ({"vip_address": "2001:db8::1%eth0"}, "vip_address"),
        ({"vip_address": 2130706433}, "vip_address"),
        ({"vip_subnet_id": "here"}, "vip_subnet_id"),
        ({"vip_network_id": "there"}, "vip_network_id"),
        ({"vip_port_id": ""}, "vip_port_id"),
        ({"vip_qos_policy_id": "best"}, "vip_qos_policy_id"),
        ({"vip_sg_ids": [ID, "open"]}, "vip_sg_ids.1"),
        ({"additional_vips": [{"ip_address": "nowhere"}]}, "additional_vips.0.ip_address"),
        ({"additional_vips": [{"subnet": ID}]}, "additional_vips.0.subnet"),
        ({"id_of": ID}, "id_of"),
    ],
    "listener": [
        ({"protocol": "GOPHER"}, "protocol"),
        ({"protocol": "UDP"}, "protocol"),
        ({"protocol": "TERMINATED_HTTPS"}, "protocol"),
        ({"protocol_port": 0}, "protocol_port"),
        ({"protocol_port": 65536}, "protocol_port"),
        ({"protocol_port": "80"}, "protocol_port"),
        ({"protocol_port": 80.0}, "protocol_port"),
        ({"protocol_port": True}, "protocol_port"),
        ({"default_pool_id": "web"}, "default_pool_id"),
        ({"connection_limit": -2}, "connection_limit"),
        ({"connection_limit": 2147483648}, "connection_limit"),
        ({"timeout_client_data": -1}, "timeout_client_data"),
        ({"timeout_member_connect": 2147483648}, "timeout_member_connect"),
        ({"timeout_member_data": None, "timeout_tcp_inspect": 1.5}, "timeout_tcp_inspect"),
        ({"insert_headers": {"X-Forwarded-For": "maybe"}}, "insert_headers.X-Forwarded-For"),
        ({"insert_headers": {"X-Forwarded-For": True}}, "insert_headers.X-Forwarded-For"),
        ({"insert_headers": {"X-Evil": "true"}}, "insert_headers"),
        ({"protocol": "TCP", "insert_headers": {"X-Forwarded-For": "true"}}, "insert_headers"),
        ({"allowed_cidrs": ["10.0.0.0/33"]}, "allowed_cidrs.0"),
        ({"allowed_cidrs": ["10.0.0.0/8", "all"]}, "allowed_cidrs.1"),
        ({"allowed_cidrs": ["2001:db8::%eth0/32"]}, "allowed_cidrs.0"),
        *(({field: "https://keys/1"}, field) for field in _REFERENCES),
        *(({"protocol": "TCP", field: "x"}, field) for field in _REFERENCES),
        *(({field: LONG}, field) for field in _REFERENCES),
        ({"sni_container_refs": ["https://keys/1"]}, "sni_container_refs"),
        ({"sni_container_refs": ["", "x"]}, "sni_container_refs"),
        ({"client_authentication": "MANDATORY"}, "client_authentication"),
        ({"client_authentication": "OPTIONAL"}, "client_authentication"),
        ({"tls_ciphers": "x" * 2049}, "tls_ciphers"),
        ({"tls_versions": ["TLSv1.4"]}, "tls_versions.0"),
        ({"alpn_protocols": ["h3"]}, "alpn_protocols.0"),
        ({"hsts_max_age": 5}, "hsts_max_age"),
        ({"hsts_max_age": 0}, "hsts_max_age"),
        ({"hsts_include_subdomains": True}, "hsts_include_subdomains"),
        ({"hsts_preload": True}, "hsts_preload"),
    ],
    "pool": [
        ({"protocol": "UDP"}, "protocol"),
        ({"protocol": None}, "protocol"),
        ({"lb_algorithm": "BEST"}, "lb_algorithm"),
        ({"lb_algorithm": "SOURCE_IP_PORT"}, "lb_algorithm"),
        ({_PERSISTENCE: "SOURCE_IP"}, _PERSISTENCE),
        ({_PERSISTENCE: {}}, f"{_PERSISTENCE}.type"),
        ({_PERSISTENCE: {"type": "MAGIC"}}, f"{_PERSISTENCE}.type"),
        ({_PERSISTENCE: {"type": "APP_COOKIE"}}, f"{_PERSISTENCE}.cookie_name"),
        ({_PERSISTENCE: {"type": "APP_COOKIE", "cookie_name": "a b"}}, f"{_PERSISTENCE}.cookie_name"),
        ({_PERSISTENCE: {"type": "APP_COOKIE", "cookie_name": LONG}}, f"{_PERSISTENCE}.cookie_name"),
        ({_PERSISTENCE: {"type": "HTTP_COOKIE", "cookie_name": "a"}}, f"{_PERSISTENCE}.cookie_name"),
        ({_PERSISTENCE: {"type": "SOURCE_IP", "persistence_timeout": 0}}, f"{_PERSISTENCE}.persistence_timeout"),
        (
            {_PERSISTENCE: {"type": "SOURCE_IP", "persistence_granularity": "255.255.255.0"}},
            f"{_PERSISTENCE}.persistence_granularity",
        ),
        ({"protocol": "TCP", _PERSISTENCE: {"type": "HTTP_COOKIE"}}, f"{_PERSISTENCE}.type"),
        ({"tls_enabled": True}, "tls_enabled"),
        *(({field: "x"}, field) for field in _POOL_REFERENCES),
        ({**_TLS_KEPT, "tls_enabled": True}, "tls_enabled"),
        ({"tls_versions": ["TLSv1.4"]}, "tls_versions.0"),
        ({"alpn_protocols": ["h3"]}, "alpn_protocols.0"),
    ],
    "member": [
        ({"address": None}, "address"),
        ({"address": "example.com"}, "address"),
        ({"address": "10.0.0.1 weight 256"}, "address"),
        ({"address": "fd00::1%\nserver evil"}, "address"),
        ({"address": "0.0.0.0"}, "address"),  # noqa: S104 - refused, not bound
        ({"address": "169.254.169.254"}, "address"),
        ({"address": "224.0.0.1"}, "address"),
        ({"address": "fe80::1"}, "address"),
        ({"address": "::ffff:169.254.169.254"}, "address"),
        ({"address": "255.255.255.255"}, "address"),
        ({"protocol_port": -1}, "protocol_port"),
        ({"weight": -1}, "weight"),
        ({"weight": 257}, "weight"),
        ({"weight": "1"}, "weight"),
        ({"backup": 0}, "backup"),
        ({"subnet_id": "lan"}, "subnet_id"),
        ({"monitor_address": "::"}, "monitor_address"),
        ({"monitor_port": 0}, "monitor_port"),
    ],
    "health_monitor": [
        ({"type": "PING"}, "type"),
        ({"type": "UDP-CONNECT"}, "type"),
        ({"type": "SCTP"}, "type"),
        ({"type": "MAGIC"}, "type"),
        ({"delay": 0}, "delay"),
        ({"delay": 2147484}, "delay"),
        ({"timeout": 0}, "timeout"),
        ({"max_retries": 0}, "max_retries"),
        ({"max_retries": 11}, "max_retries"),
        ({"max_retries_down": 11}, "max_retries_down"),
        ({"http_method": "BREW"}, "http_method"),
        ({"http_version": 2.0}, "http_version"),
        ({"url_path": "healthz"}, "url_path"),
        ({"url_path": "/a b"}, "url_path"),
        ({"url_path": "/" + "x" * 2048}, "url_path"),
        ({"expected_codes": "600"}, "expected_codes"),
        ({"expected_codes": "200-"}, "expected_codes"),
        ({"expected_codes": "204-200"}, "expected_codes"),
        ({"expected_codes": "٢٠٠"}, "expected_codes"),
        ({"expected_codes": "200\n"}, "expected_codes"),
        ({"http_version": 1.1, "domain_name": "-bad-.example"}, "domain_name"),
        ({"domain_name": "www.example.com"}, "domain_name"),
        ({"type": "TCP", "url_path": "/"}, "url_path"),
        ({"type": "TLS-HELLO", "expected_codes": "200"}, "expected_codes"),
        ({"type": "TCP", "http_method": "GET"}, "http_method"),
        ({"type": "TLS-HELLO", "domain_name": "a b"}, "domain_name"),
        ({"type": "TCP", "http_version": 2.0}, "http_version"),
        ({"type": "HTTPS", "http_version": 1.0, "domain_name": "www.example.com"}, "domain_name"),
    ],
    "l7policy": [
        ({"action": "DROP"}, "action"),
        ({"action": "REDIRECT_TO_POOL"}, "redirect_pool_id"),
        ({"action": "REDIRECT_TO_POOL", "redirect_pool_id": "web"}, "redirect_pool_id"),
        ({"action": "REDIRECT_TO_URL"}, "redirect_url"),
        ({"action": "REJECT", "redirect_url": "gopher://a.example/"}, "redirect_url"),
        ({**_URL, "redirect_url": "ftp://a.example/"}, "redirect_url"),
        ({**_URL, "redirect_url": "/relative"}, "redirect_url"),
        ({**_URL, "redirect_url": "https://[bad/"}, "redirect_url"),
        ({**_URL, "redirect_url": 'https://a.example/"x'}, "redirect_url"),
        ({**_URL, "redirect_url": "https://a.example/" + LONG}, "redirect_url"),
        ({**_PREFIX, "redirect_prefix": "https://a.example/ b"}, "redirect_prefix"),
        ({**_URL, "redirect_http_code": 200}, "redirect_http_code"),
        ({"position": 0}, "position"),
        ({"position": 2147483648}, "position"),
    ],
    "l7rule": [
        ({"type": "MOON_PHASE"}, "type"),
        ({"type": "SSL_DN_FIELD"}, "type"),
        ({"compare_type": "LIKE"}, "compare_type"),
        ({"type": "FILE_TYPE", "compare_type": "CONTAINS", "value": "jpg"}, "compare_type"),
        ({**_HEADER, "key": None}, "key"),
        ({**_HEADER, "key": "X Tenant"}, "key"),
        ({**_HEADER, "key": "X-T\r\nInjected"}, "key"),
        ({"key": "X-T\r\nInjected"}, "key"),
        ({"value": "/a b"}, "value"),
        ({"value": "/é"}, "value"),
        ({"type": "COOKIE", "key": "k", "value": "a;b"}, "value"),
        ({"value": ""}, "value"),
        ({"value": LONG}, "value"),
        ({"value": "a\x00b"}, "value"),
        *(({**_HEADER, "value": value}, "value") for value in ('""', "''", 'a b"c"', "it's one", "'a' b")),
        ({**_HEADER, "type": "COOKIE", "value": 'a"b'}, "value"),
        *(({"compare_type": "REGEX", "value": value}, "value") for value in BAD_EXPRESSIONS),
        ({"invert": "no"}, "invert"),
    ],
}

TEXTS: dict[str, list[tuple[Values, tuple[str | int, ...]]]] = {
    "load_balancer": [
        ({"vip_address": "2001:db8::1"}, ("vip_address",)),
        ({"provider": "amphora"}, ("provider",)),
        ({"availability_zone": "az1"}, ("availability_zone",)),
        *(({field: ID}, (field,)) for field in ("flavor_id", "vip_subnet_id", "vip_network_id", "vip_port_id")),
        ({"vip_qos_policy_id": ID}, ("vip_qos_policy_id",)),
        ({"vip_sg_ids": [ID]}, ("vip_sg_ids", 0)),
        ({"additional_vips": [{"ip_address": "2001:db8::1"}]}, ("additional_vips", 0, "ip_address")),
        ({"additional_vips": [{"subnet_id": ID}]}, ("additional_vips", 0, "subnet_id")),
    ],
    "listener": [
        ({}, ("protocol",)),
        ({"default_pool_id": ID}, ("default_pool_id",)),
        ({"insert_headers": {"X-Forwarded-For": "true"}}, ("insert_headers", "X-Forwarded-For")),
        ({"allowed_cidrs": ["2001:db8::/32"]}, ("allowed_cidrs", 0)),
        *(
            ({field: "https://keys/1"}, (field,))
            for field in ("default_tls_container_ref", "client_ca_tls_container_ref", "client_crl_container_ref")
        ),
        ({"sni_container_refs": ["https://keys/1"]}, ("sni_container_refs", 0)),
        ({"client_authentication": "NONE"}, ("client_authentication",)),
        ({"tls_ciphers": "HIGH"}, ("tls_ciphers",)),
        ({"tls_versions": ["TLSv1.3"]}, ("tls_versions", 0)),
        ({"alpn_protocols": ["h2"]}, ("alpn_protocols", 0)),
    ],
    "pool": [
        ({}, ("protocol",)),
        ({}, ("lb_algorithm",)),
        ({_PERSISTENCE: dict(_COOKIE)}, (_PERSISTENCE, "type")),
        ({_PERSISTENCE: dict(_COOKIE)}, (_PERSISTENCE, "cookie_name")),
        (
            {_PERSISTENCE: {"type": "SOURCE_IP", "persistence_granularity": "255.255.255.255"}},
            (_PERSISTENCE, "persistence_granularity"),
        ),
        *(({field: "x"}, (field,)) for field in ("tls_container_ref", "ca_tls_container_ref", "crl_container_ref")),
        ({"tls_ciphers": "HIGH"}, ("tls_ciphers",)),
        ({"tls_versions": ["TLSv1.3"]}, ("tls_versions", 0)),
        ({"alpn_protocols": ["h2"]}, ("alpn_protocols", 0)),
    ],
    "member": [
        ({"address": "2001:db8::1"}, ("address",)),
        ({"monitor_address": "2001:db8::1"}, ("monitor_address",)),
        ({"subnet_id": ID}, ("subnet_id",)),
    ],
    "health_monitor": [
        ({}, ("type",)),
        ({"http_method": "GET"}, ("http_method",)),
        ({"url_path": "/healthz"}, ("url_path",)),
        ({"expected_codes": "200"}, ("expected_codes",)),
        ({"http_version": 1.1, "domain_name": "www.example.com"}, ("domain_name",)),
    ],
    "l7policy": [
        ({}, ("action",)),
        ({"action": "REDIRECT_TO_POOL", "redirect_pool_id": ID}, ("redirect_pool_id",)),
        (dict(_URL), ("redirect_url",)),
        (dict(_PREFIX), ("redirect_prefix",)),
    ],
    "l7rule": [
        ({}, ("type",)),
        ({}, ("compare_type",)),
        (dict(_HEADER), ("key",)),
        ({}, ("value",)),
    ],
}
"""By kind: values that contain every text that a user can set, each with the path to the text."""
EVERYWHERE: list[tuple[Values, tuple[str | int, ...]]] = [
    ({"name": "web"}, ("name",)),
    ({"description": "the web"}, ("description",)),
    ({"project_id": "p1"}, ("project_id",)),
    ({"tags": ["a", "b"]}, ("tags", 1)),
]
