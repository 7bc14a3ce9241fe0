"""A request that could never be applied is refused immediately; attributes that only matter elsewhere are kept."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.service import COLLECTION, SUBNET, Service, address_of

pytestmark = pytest.mark.database("sqlite")

LBS, LISTENERS, POOLS = COLLECTION["loadbalancer"], COLLECTION["listener"], COLLECTION["pool"]
MONITORS = COLLECTION["healthmonitor"]
COOKIES: list[dict[str, Any]] = [{"type": "HTTP_COOKIE"}, {"type": "APP_COOKIE", "cookie_name": "JSESSIONID"}]
PROXY: dict[str, Any] = {"protocol": "PROXY", "lb_algorithm": "ROUND_ROBIN"}
HTTPS: dict[str, Any] = {"protocol": "HTTPS", "protocol_port": 8443}
TLS_KEPT: dict[str, Any] = {
    "tls_versions": ["TLSv1.3", "TLSv1.2"],
    "tls_ciphers": "HIGH:!aNULL",
    "alpn_protocols": ["h2", "http/1.1"],
}
REFERENCES: dict[str, Any] = {
    "default_tls_container_ref": "",
    "client_ca_tls_container_ref": "",
    "client_crl_container_ref": "",
    "sni_container_refs": [],
    "client_authentication": "NONE",
    "hsts_include_subdomains": False,
    "hsts_preload": False,
}
POOL_REFERENCES: dict[str, Any] = {
    "tls_container_ref": "",
    "ca_tls_container_ref": "",
    "crl_container_ref": "",
    "tls_enabled": False,
}


def _refused(service: Service, method: str, path: str, body: Any, word: str = "session_persistence") -> None:
    response = service.request(method, path, body)
    assert response.status_code == 400, response.text
    assert word in response.json()["faultstring"]


@pytest.mark.parametrize("cookie", COOKIES)
def test_cookie_persistence_is_refused_behind_https(service: Service, cookie: dict[str, Any]) -> None:
    """A pool with cookie persistence can in no way be put behind an HTTPS listener, but in every way behind a TCP or
    HTTP listener."""
    for protocol, is_taken in (("HTTPS", False), ("TCP", True), ("HTTP", True)):
        listener: dict[str, Any] = {"protocol": protocol, "protocol_port": 8443}
        by_cookie = {**PROXY, "session_persistence": cookie}
        lb_id = service.load_balancer()["id"]
        bare = service.create("listener", loadbalancer_id=lb_id, **listener)["id"]
        pool = service.create("pool", loadbalancer_id=lb_id, **by_cookie)["id"]
        plain = service.create("pool", loadbalancer_id=lb_id, **PROXY)["id"]
        other = {**listener, "protocol_port": 8444, "loadbalancer_id": lb_id}
        requests: list[tuple[str, str, dict[str, Any]]] = [
            ("POST", LISTENERS, {"listener": {**other, "default_pool_id": pool}}),
            ("PUT", f"{LISTENERS}/{bare}", {"listener": {"default_pool_id": pool}}),
            ("PUT", f"{LISTENERS}/{bare}", {"listener": {"default_pool_id": None}}),
            ("POST", POOLS, {"pool": {**by_cookie, "listener_id": bare}}),
            ("PUT", f"{LISTENERS}/{bare}", {"listener": {"default_pool_id": plain}}),
            ("PUT", f"{POOLS}/{plain}", {"pool": {"session_persistence": cookie}}),
            ("POST", LBS, {"loadbalancer": _tree({**listener, "default_pool": by_cookie})}),
            (
                "POST",
                LBS,
                {"loadbalancer": _tree({**listener, "default_pool": {"name": "p"}}, {**by_cookie, "name": "p"})},
            ),
        ]
        for method, path, body in requests:
            response = service.request(method, path, body)
            clears = body.get("listener", {}).get("default_pool_id", pool) in (None, plain)
            if is_taken or clears:
                assert response.status_code in (200, 201), response.text
            else:
                assert response.status_code == 400, response.text
                assert "session_persistence" in response.json()["faultstring"]
        service.settle()
        for root in ("loadbalancer", "listener", "pool"):
            shown = service.get(f"{COLLECTION[root]}?project_id=p1")[f"{root}s"]
            assert {one["provisioning_status"] for one in shown} == {"ACTIVE"}


def _tree(listener: dict[str, Any], *pools: dict[str, Any]) -> dict[str, Any]:
    return {"vip_subnet_id": SUBNET, "listeners": [listener], "pools": list(pools)}


def test_a_pool_behind_https_can_be_changed_without_cookies(service: Service) -> None:
    """Other changes of such a pool, and persistence by source address, are accepted."""
    lb_id = service.load_balancer()["id"]
    pool = service.create("pool", loadbalancer_id=lb_id, **PROXY)["id"]
    service.create("listener", loadbalancer_id=lb_id, default_pool_id=pool, **HTTPS)
    for changes in ({"name": "x"}, {"session_persistence": {"type": "SOURCE_IP"}}, {"session_persistence": None}):
        assert service.request("PUT", f"{POOLS}/{pool}", {"pool": changes}).status_code == 200


@pytest.mark.parametrize("protocol", ["HTTP", "HTTPS", "TCP"])
def test_tls_attributes_are_kept_without_tls_termination(service: Service, protocol: str) -> None:
    """Clients send TLS attributes for every object. They come back as they were sent, and null resets them; ``""``
    means none."""
    lb_id = service.load_balancer()["id"]
    cases: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
        ("listener", {"protocol": protocol, "protocol_port": 81}, {**TLS_KEPT, **REFERENCES}),
        ("pool", {"protocol": protocol, "lb_algorithm": "ROUND_ROBIN"}, {**TLS_KEPT, **POOL_REFERENCES}),
    )
    for root, values, own in cases:
        made = service.create(root, loadbalancer_id=lb_id, **values, **own)
        assert {name: made[name] for name in own} == own
        path = f"{COLLECTION[root]}/{made['id']}"
        assert service.request("PUT", path, {root: dict.fromkeys(own)}).status_code == 200
        reset = service.get(path)[root]
        assert {reset[name] for name in TLS_KEPT} == {None}
        assert service.request("PUT", path, {root: own}).status_code == 200
        service.settle()
        shown = service.get(path)[root]
        assert {name: shown[name] for name in own} == own
        assert shown["provisioning_status"] == "ACTIVE"


@pytest.mark.parametrize("protocol", ["HTTP", "HTTPS", "TCP"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((field, "https://keys.example/v1/containers/1") for field in REFERENCES if field.endswith("_container_ref")),
        ("sni_container_refs", ["https://keys.example/v1/containers/1"]),
        *(("client_authentication", value) for value in ("OPTIONAL", "MANDATORY")),
        *(("hsts_max_age", age) for age in (0, 31536000)),
        *((field, True) for field in ("hsts_include_subdomains", "hsts_preload")),
    ],
)
def test_settings_that_need_tls_termination_are_refused(
    service: Service, protocol: str, field: str, value: Any
) -> None:
    """A TLS setting that would be ignored is refused: 400 names the field, in POST and in PUT."""
    lb_id = service.load_balancer()["id"]
    listener: dict[str, Any] = {"loadbalancer_id": lb_id, "protocol": protocol, "protocol_port": 81}
    _refused(service, "POST", LISTENERS, {"listener": {**listener, field: value}}, field)
    made = service.create("listener", **listener)
    _refused(service, "PUT", f"{LISTENERS}/{made['id']}", {"listener": {field: value}}, field)


@pytest.mark.parametrize(
    ("field", "value"), [("tls_enabled", True), ("ca_tls_container_ref", "https://keys.example/1")]
)
def test_tls_to_members_is_not_implemented(service: Service, field: str, value: Any) -> None:
    """501 names the field: it is valid, but would be ignored."""
    lb_id = service.load_balancer()["id"]
    pool: dict[str, Any] = {"loadbalancer_id": lb_id, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", **TLS_KEPT}
    made = service.create("pool", **pool)["id"]
    for method, path, body in (("POST", POOLS, {**pool, field: value}), ("PUT", f"{POOLS}/{made}", {field: value})):
        response = service.request(method, path, {"pool": body})
        assert response.status_code == 501
        assert field in response.json()["faultstring"]


@pytest.mark.parametrize("kind", ["TCP", "TLS-HELLO"])
def test_monitors_without_http_keep_its_version_and_domain_name(service: Service, kind: str) -> None:
    """``http_version`` and ``domain_name`` are shown and can be changed and reset; fields that need HTTP are 400."""
    made = service.one_of_each()
    assert service.request("DELETE", address_of("healthmonitor", made)).status_code == 204
    service.settle()
    kept: dict[str, Any] = {"http_version": 1.1, "domain_name": "www.example.com"}
    monitor: dict[str, Any] = {"pool_id": made["pool"]["id"], "type": kind, "delay": 5, "timeout": 3, "max_retries": 2}
    for field, value in (("http_method", "GET"), ("url_path", "/"), ("expected_codes", "200")):
        _refused(service, "POST", MONITORS, {"healthmonitor": {**monitor, field: value}}, field)
    shown = service.create("healthmonitor", **monitor, **kept)
    assert {name: shown[name] for name in kept} == kept
    path = f"{MONITORS}/{shown['id']}"
    for field, value in (("http_method", "GET"), ("url_path", "/"), ("expected_codes", "200")):
        _refused(service, "PUT", path, {"healthmonitor": {field: value}}, field)
    for changes in ({"domain_name": None}, {"http_version": 1.0}, {"domain_name": "a.example"}, {"http_version": None}):
        changed = service.request("PUT", path, {"healthmonitor": changes})
        assert changed.status_code == 200
        assert {name: changed.json()["healthmonitor"][name] for name in changes} == changes
    service.settle()
    assert service.get(path)["healthmonitor"]["provisioning_status"] == "ACTIVE"
