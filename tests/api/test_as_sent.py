"""Values come back as the client sent them, in every answer; comparisons use a canonical form."""

from __future__ import annotations

from typing import Any

import pytest

from portico.resources.kinds import DESCRIBED, PARTS
from portico.resources.row import Spec
from tests.api.service import COLLECTION, SUBNET, Service, address_of, any_id
from tests.support.examples import CHANGES, VALID, path_of, place_of
from tests.support.ordinary_values import rest_of

LBS = COLLECTION["loadbalancer"]
UPPER = "6E0E1B8C-3F2A-4D6E-9A55-1C1A6F0D2BAB"
_TEXTS = {"name": " Wéb  ", "description": "  a  B é ", "admin_state_up": False, "tags": ["b", "", "a", "A ", "é", "b"]}
_NAMELESS = {"admin_state_up": False, "tags": ["z", "", "a"]}
_CIPHERS = {
    "tls_ciphers": "HIGH:!aNULL",
    "tls_versions": ["TLSv1.3", "TLSv1.1", "TLSv1.2"],
    "alpn_protocols": ["http/1.1", "h2"],
}
"""References that are kept for the time when TLS is supported."""
SENT: dict[str, dict[str, Any]] = {
    "loadbalancer": {
        **_TEXTS,
        "provider": "octavia",
        "vip_address": "2001:DB8:0:0:0:0:0:00A1",
        "vip_subnet_id": SUBNET.upper(),
        "vip_network_id": UPPER,
        "vip_port_id": UPPER,
        "additional_vips": [{"subnet_id": UPPER, "ip_address": "2001:0db8::0:B"}],
    },
    "listener": {
        **_TEXTS,
        "protocol": "HTTP",
        "protocol_port": 80,
        "connection_limit": 0,
        "timeout_client_data": 1,
        "timeout_member_connect": 2,
        "timeout_member_data": 3,
        "timeout_tcp_inspect": 4,
        "insert_headers": {"X-Forwarded-Port": "TRUE", "X-Forwarded-For": "False"},
        "allowed_cidrs": ["2001:DB8:0::/33", "2001:db8:0:0::/32", "2001:db8::1"],
        **_CIPHERS,
        **dict.fromkeys(("default_tls_container_ref", "client_ca_tls_container_ref", "client_crl_container_ref"), ""),
        "sni_container_refs": [],
        "client_authentication": "NONE",
        "hsts_include_subdomains": False,
        "hsts_preload": False,
    },
    "pool": {
        **_TEXTS,
        "protocol": "HTTP",
        "lb_algorithm": "SOURCE_IP",
        "session_persistence": {
            "type": "APP_COOKIE",
            "cookie_name": "Sid.A",
            "persistence_timeout": None,
            "persistence_granularity": None,
        },
        **_CIPHERS,
        **dict.fromkeys(("tls_container_ref", "ca_tls_container_ref", "crl_container_ref"), ""),
        "tls_enabled": False,
    },
    "member": {
        "name": _TEXTS["name"],
        **_NAMELESS,
        "address": "FD00:0:0::0A",
        "protocol_port": 1,
        "weight": 0,
        "subnet_id": UPPER,
        "monitor_address": "fd00:0000::B",
    },
    "healthmonitor": {
        "name": _TEXTS["name"],
        **_NAMELESS,
        "type": "HTTP",
        "delay": 2147483,
        "timeout": 2147483,
        "max_retries": 1,
        "http_version": 1.1,
        "url_path": "/A/%7e?x=Y&&",
        "expected_codes": "202 , 200,200",
        "domain_name": "WWW.Example.COM.",
    },
    "l7policy": {
        **_TEXTS,
        "action": "REDIRECT_TO_URL",
        "redirect_url": "https://Example.COM:443/%7e/../A?b",
        "redirect_http_code": 308,
        "position": 1,
    },
    "rule": {
        **_NAMELESS,
        "type": "HEADER",
        "compare_type": "EQUAL_TO",
        "key": "X-Odd-KEY",
        "value": '"A  b"',
    },
}
"""Root to unusual values for a create; ``_REST`` has the fields that need no special value."""
CHANGED: dict[str, dict[str, Any]] = {
    "loadbalancer": {"name": "n ", "tags": ["", "B", "b"]},
    "listener": {"allowed_cidrs": ["2001:DB8::/0"], "insert_headers": {"X-Forwarded-Proto": "tRuE"}, "tags": [""]},
    "pool": {"name": " p", "tags": ["é", "e", ""]},
    "member": {"monitor_address": "FD00::00C", "name": "M ", "tags": ["", "m"]},
    "healthmonitor": {"domain_name": "a.B", "expected_codes": "200-204", "url_path": "/%41", "tags": [""]},
    "l7policy": {"redirect_url": "http://[2001:DB8::0]/", "description": " ", "tags": ["q", "", "p"]},
    "rule": {"key": "x-ODD", "value": "VaLue", "tags": [""]},
}
"""Root to unusual values for an update."""
ELSEWHERE = {
    "loadbalancer": {
        *("flavor_id", "availability_zone"),  # these need existing objects (test_offers)
        *("vip_qos_policy_id", "vip_sg_ids"),  # only some networks support these
        "project_id",  # the caller's project
    },
    "listener": {"default_pool_id", "project_id", "hsts_max_age"},  # only with TLS (test_immediate_refusals)
    "pool": {"project_id"},
    "member": {"description", "project_id"},
    "healthmonitor": {"description", "project_id"},
    "l7policy": {"redirect_pool_id", "redirect_prefix", "project_id"},
    "rule": {"name", "description", "project_id"},
}
"""Root to the fields of the spec that these tests do not send."""
for _kind in DESCRIBED:  # kinds that are not above use an example
    _hidden = {name for name in Spec.model_fields if name not in _kind.view.shown}
    SENT.setdefault(_kind.view.root, dict(VALID[_kind.name]))
    CHANGED.setdefault(_kind.view.root, dict(CHANGES[_kind.name]))
    ELSEWHERE.setdefault(_kind.view.root, {"project_id", *_hidden})
_REST = {kind.view.root: rest_of(kind, {*SENT[kind.view.root], *ELSEWHERE[kind.view.root]}) for kind in DESCRIBED}
"""Root to the fields that no table above names, each with values derived from its type: the last is sent with a create,
the first with an update."""
for _root, _fields in _REST.items():
    SENT[_root] |= {name: values[-1] for name, values in _fields.items()}
    _changed = {name: values[0] for name, values in _fields.items()}
    CHANGED[_root] |= {name: value for name, value in _changed.items() if value is not None}


def _create_all(service: Service) -> dict[str, Any]:
    made = {"loadbalancer": service.create("loadbalancer", **SENT["loadbalancer"])}
    made["listener"] = service.create("listener", loadbalancer_id=made["loadbalancer"]["id"], **SENT["listener"])
    made["pool"] = service.create("pool", listener_id=made["listener"]["id"], **SENT["pool"])
    made["member"] = service.create("member", f"{address_of('pool', made)}/members", **SENT["member"])
    made["healthmonitor"] = service.create("healthmonitor", pool_id=made["pool"]["id"], **SENT["healthmonitor"])
    made["l7policy"] = service.create("l7policy", listener_id=made["listener"]["id"], **SENT["l7policy"])
    made["rule"] = service.create("rule", f"{address_of('l7policy', made)}/rules", **SENT["rule"])
    for kind in PARTS:
        root = kind.view.root
        if root not in made and kind.parent is not None:
            parent_id = made[kind.parent.view.root]["id"]
            made[root] = service.create(root, path_of(kind, parent_id), **place_of(kind, parent_id), **SENT[root])
    return made


def _shown_of(shown: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any]:
    """The part of the answer that was sent: of additional VIPs, all but the ports that the network gave them."""
    fields = {name: shown[name] for name in sent}
    if "additional_vips" in fields:
        fields["additional_vips"] = [
            {name: value for name, value in vip.items() if name != "port_id"} for vip in fields["additional_vips"]
        ]
    return fields


def _get_and_list(service: Service, root: str, made: dict[str, Any]) -> list[dict[str, Any]]:
    """An object as a GET and as a list show it."""
    path = address_of(root, made)
    single = service.get(path)[root]
    [listed] = [one for one in next(iter(service.get(path.rpartition("/")[0]).values())) if one["id"] == single["id"]]
    return [single, listed]


def test_every_answer_keeps_the_spelling(service: Service) -> None:
    """POST, GET and list show what was sent, before and after the worker has built it; so does PUT."""
    made = _create_all(service)
    for root, sent in SENT.items():
        for shown in (made[root], *_get_and_list(service, root, made)):
            assert _shown_of(shown, sent) == sent, root

    service.settle()
    for root, sent in SENT.items():
        for shown in _get_and_list(service, root, made):
            assert _shown_of(shown, sent) == sent, root

    for root, changes in CHANGED.items():
        response = service.request("PUT", address_of(root, made), {root: changes})
        assert response.status_code == 200, response.text
        for shown in (response.json()[root], *_get_and_list(service, root, made)):
            assert _shown_of(shown, {**SENT[root], **changes}) == {**SENT[root], **changes}, root
    service.settle()
    for root, changes in CHANGED.items():
        [shown, _] = _get_and_list(service, root, made)
        assert _shown_of(shown, {**SENT[root], **changes}) == {**SENT[root], **changes}, root
        if root != "loadbalancer":
            assert shown["provisioning_status"] == "ACTIVE", root


@pytest.mark.database("sqlite")
def test_no_field_is_forgotten_above() -> None:
    """A new field of a spec is sent as well, or listed in ``ELSEWHERE``. If the type does not tell which values the
    field accepts, the table must have one."""
    for kind in DESCRIBED:
        root = kind.view.root
        assert set(kind.spec.model_fields) - set(SENT[root]) == ELSEWHERE[root] & set(kind.spec.model_fields)


def test_a_whole_tree_keeps_its_spelling(service: Service) -> None:
    """With everything in one body, the answer and later requests show every spelling as it was sent."""
    pool = {**SENT["pool"], "members": [SENT["member"]], "healthmonitor": SENT["healthmonitor"]}
    policy = {**SENT["l7policy"], "rules": [SENT["rule"]]}
    listener = {**SENT["listener"], "default_pool": pool, "l7policies": [policy]}

    made = service.create("loadbalancer", **SENT["loadbalancer"], listeners=[listener])

    def check(tree: dict[str, Any]) -> None:
        [first] = tree["listeners"]
        [shown_policy] = first["l7policies"]
        shown_pool = first["default_pool"]
        parts = {
            "loadbalancer": tree,
            "listener": first,
            "pool": shown_pool,
            "member": shown_pool["members"][0],
            "healthmonitor": shown_pool["healthmonitor"],
            "l7policy": shown_policy,
            "rule": shown_policy["rules"][0],
        }
        assert set(parts) == {kind.view.root for kind in DESCRIBED}
        for root, part in parts.items():
            sent = SENT[root]
            assert _shown_of(part, sent) == sent, root
            [single, listed] = _get_and_list(service, root, parts)
            assert _shown_of(single, sent) == _shown_of(listed, sent) == sent, root

    check(made)
    service.settle()
    check(made)


def test_two_spellings_of_an_address_are_the_same(service: Service) -> None:
    """A second member or VIP at the same address is refused, however the address is spelled."""
    lb_id = service.load_balancer(vip_address="2001:db8::1")["id"]
    body = {"loadbalancer": {"vip_subnet_id": SUBNET, "vip_address": "2001:DB8:0:0::1"}}
    assert service.request("POST", LBS, body).status_code == 409
    pool = service.create("pool", loadbalancer_id=lb_id, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    path = f"{COLLECTION['pool']}/{pool['id']}/members"
    service.create("member", path, address="fd00::a", protocol_port=80)
    for address, port, status in (("FD00:0::000A", 80, 409), ("FD00:0::000A", 81, 201), ("fd00::b", 80, 201)):
        answered = service.request("POST", path, {"member": {"address": address, "protocol_port": port}})
        assert answered.status_code == status, answered.text
    twice = [{"address": address, "protocol_port": 80} for address in ("fd00::c", "FD00::C")]
    assert service.request("PUT", path, {"members": twice}).status_code == 400


@pytest.mark.parametrize("spelling", ["fd00::1", "FD00::1", "fd00:0:0:0:0:0:0:1", "fd00::0001"])
def test_every_spelling_finds_an_address(service: Service, spelling: str) -> None:
    """Filters compare addresses, not their spellings; a text that is not an address finds nothing."""
    vips = [{"subnet_id": any_id(), "ip_address": "fd00:0::0:0001"}]
    lb_id = service.load_balancer(vip_address="FD00:0::0001", additional_vips=vips)["id"]
    pool = service.create("pool", loadbalancer_id=lb_id, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    members = f"{COLLECTION['pool']}/{pool['id']}/members"
    service.create("member", members, address="FD00:0::1", protocol_port=80, monitor_address="fd00:0:0::1")
    service.settle()

    for path, name in (
        (LBS, "vip_address"),
        (LBS, "additional_vips"),
        (members, "address"),
        (members, "monitor_address"),
        ("/v2.0/octavia/amphorae", "ha_ip"),
        ("/v2.0/octavia/amphorae", "vrrp_ip"),
    ):
        for value, count in ((spelling, 1), (f"{spelling}0", 0), (f"{spelling}%25eth0", 0), ("", 0)):
            assert len(next(iter(service.get(f"{path}?{name}={value}").values()))) == count, (name, value)


def test_a_batch_finds_a_member_by_any_spelling_of_its_address(service: Service) -> None:
    """The member stays the same, gets the new spelling, and nothing else is changed."""
    lb_id = service.load_balancer()["id"]
    pool = service.create("pool", loadbalancer_id=lb_id, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    path = f"{COLLECTION['pool']}/{pool['id']}/members"
    before = service.create("member", path, address="fd00::1", protocol_port=80, weight=5)
    service.settle()

    batch = {"members": [{"address": "FD00:0:0::01", "protocol_port": 80, "weight": 5}]}
    assert service.request("PUT", path, batch).status_code == 202
    service.settle()

    [after] = service.get(path)["members"]
    volatile = ("updated_at", "provisioning_status", "operating_status")
    assert {name: value for name, value in after.items() if name not in volatile} == {
        name: value for name, value in {**before, "address": "FD00:0:0::01"}.items() if name not in volatile
    }
    assert after["provisioning_status"] == "ACTIVE"
