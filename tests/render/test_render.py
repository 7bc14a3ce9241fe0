"""The contents of a bundle besides its text, and what rendering refuses."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import portico.render.model
from portico.errors import InvalidInput, NotSupported
from portico.render import render
from portico.render.model import MAX_WORDS
from portico.resources.health_monitor import HTTP_METHODS
from portico_wire import Backend, Bundle, Frontend, Server, Socket
from tests.render import haproxies
from tests.render.trees import AMPHORA_ID, LOAD_BALANCER_ID, Document, tree_from
from tests.support.bundles import haproxy_of, text_of


def _render(document: Document) -> Bundle:
    return render(tree_from(document), AMPHORA_ID, 7)


def _document(listener: Document | None = None, pool: Document | None = None, **members: Any) -> dict[str, Any]:
    member = {"address": "10.0.0.1", "protocol_port": 80, **members}
    return {
        "listeners": [{"protocol": "HTTP", "protocol_port": 8080, "default_pool": "web", **(listener or {})}],
        "pools": {"web": {"protocol": "HTTP", "members": [member], **(pool or {})}},
    }


def test_a_bundle_names_its_sockets_backends_and_servers() -> None:
    """The bundle lists every socket and backend, and the exact line of every server."""
    tree = tree_from({**_document(weight=5), "vips": ["127.64.0.1", "fd00::A"]})
    bundle = render(tree, AMPHORA_ID, 7)
    assert (bundle.amphora_id, bundle.load_balancer_id, bundle.version) == (AMPHORA_ID, LOAD_BALANCER_ID, 7)
    assert bundle.sockets == (
        Socket("PORTICO_BIND_127_64_0_1_8080", "127.64.0.1", 8080),
        Socket("PORTICO_BIND_FD00000000000000000000000000000A_8080", "fd00::a", 8080),
    )
    haproxy = haproxy_of(bundle)
    [listener], [pool], [member] = tree.listeners, tree.pools, tree.members
    line = f"server {member.id} 10.0.0.1:80 weight 5"
    assert haproxy.frontends == (Frontend(listener.id, listener.id),)
    assert haproxy.backends == (Backend(pool.id, pool.id, serves=True, dynamic=True),)
    assert haproxy.servers == (Server(pool.id, member.id, member.id, line, "10.0.0.1", 80, 5, "ready"),)
    assert f"\n    {line}\n" in haproxy.configuration


def test_a_member_that_is_down_is_in_maintenance() -> None:
    """The server of a member that is down keeps its line, so that it can be enabled without a reload."""
    [server] = haproxy_of(_render(_document(admin_state_up=False))).servers
    assert server.state == "maint"
    assert server.line.endswith(" disabled")


def test_changes_of_members_change_only_lines_of_servers() -> None:
    """An additional member or another weight leaves all other lines unchanged, so the agent needs no reload."""
    for pool in ({}, {"persistence_type": "HTTP_COOKIE"}, {"lb_algorithm": "SOURCE_IP"}):
        few, more = _document(pool=pool), _document(pool=pool, weight=9)
        more["pools"]["web"]["members"].append({"address": "10.0.0.2", "protocol_port": 80, "backup": True})
        assert _without_servers(_render(few)) == _without_servers(_render(more))


def _without_servers(bundle: Bundle) -> list[str]:
    lines = {server.line for server in haproxy_of(bundle).servers}
    return [line for line in text_of(bundle).split("\n") if line.strip() not in lines]


def test_all_amphorae_of_a_load_balancer_get_the_same_text() -> None:
    """Only the amphora's id differs, so each amphora can take over the other's sockets."""
    tree = tree_from(_document())
    one, other = render(tree, AMPHORA_ID, 1), render(tree, LOAD_BALANCER_ID, 1)
    assert (one.programs, one.sockets) == (other.programs, other.sockets)


@pytest.mark.parametrize(
    "document",
    [
        {**_document(), "load_balancer": {"admin_state_up": False}},
        _document({"admin_state_up": False}),
        {"pools": {"web": {"protocol": "HTTP"}}},
    ],
    ids=["load balancer down", "listeners down", "no listeners"],
)
def test_a_load_balancer_with_nothing_to_serve_has_no_configuration(document: Document) -> None:
    """The text is empty if there is nothing to serve, and the agent then stops HAProxy."""
    bundle = _render(document)
    assert (bundle.is_empty, bundle.sockets) == (True, ())


def _monitored(**values: Any) -> dict[str, Any]:
    return _document(pool={"health_monitor": {"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2, **values}})


def _with_rule(**values: Any) -> dict[str, Any]:
    rule = {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/", **values}
    return _document({"l7policies": [{"action": "REJECT", "rules": [rule]}]})


@pytest.mark.parametrize(
    ("document", "field"),
    [
        *(
            (_document({"protocol": protocol}), "protocol")
            for protocol in ("TERMINATED_HTTPS", "UDP", "SCTP", "PROMETHEUS")
        ),
        *((_document(pool={"protocol": protocol}), "protocol") for protocol in ("UDP", "SCTP")),
        (_document(pool={"lb_algorithm": "SOURCE_IP_PORT"}), "lb_algorithm"),
        *((_monitored(type=kind), "type") for kind in ("UDP-CONNECT", "SCTP")),
        *((_with_rule(type=kind), "type") for kind in ("SSL_CONN_HAS_CERT", "SSL_VERIFY_RESULT", "SSL_DN_FIELD")),
    ],
)
def test_unsupported_attributes_are_refused_with_their_names(document: Document, field: str) -> None:
    """An attribute that cannot be rendered is refused, with its name, and never silently ignored."""
    with pytest.raises(NotSupported) as refused:
        _render(document)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (_with_rule(value="a\nb"), "value"),
        (_with_rule(value="a\0b"), "value"),
        (_with_rule(value="a\x1bb"), "value"),
        (_with_rule(type="HEADER", key="a b"), "key"),
        (_with_rule(type="HEADER", key='a"b'), "key"),
        (_with_rule(type="COOKIE", key=None), "key"),
        (_document({"allowed_cidrs": ["10.0.0.0/8", "10.0.0.0/8 || TRUE"]}), "allowed_cidrs"),
        (_document({"allowed_cidrs": ["fe80::%a' b/64"]}), "allowed_cidrs"),
        (_document(address="fe80::1%a' b"), "address"),
        (_document(address="example.com"), "address"),
        (_document(protocol_port=65536), "protocol_port"),
        (_document(weight=257), "weight"),
        (_monitored(url_path="/\r\nHost: x"), "url_path"),
        (_monitored(domain_name="a b"), "domain_name"),
        (_monitored(http_method="GET / HTTP/1.0"), "http_method"),
        (_monitored(http_version=2.0), "http_version"),
        (_monitored(expected_codes="200 or"), "expected_codes"),
        (_monitored(expected_codes="204-200"), "expected_codes"),
        (
            _document(pool={"persistence_type": "APP_COOKIE", "persistence_cookie_name": "a b"}),
            "session_persistence.cookie_name",
        ),
        (_document({"protocol": "HTTPS"}, {"persistence_type": "HTTP_COOKIE"}), "session_persistence.type"),
        ({**_document(), "vips": [None]}, "vip_address"),
        ({**_document(), "vips": []}, "vip_address"),
        (_document({"timeout_client_data": "1 # 2"}), "configuration"),
    ],
)
def test_values_that_cannot_be_rendered_are_refused_with_the_fields_name(document: Document, field: str) -> None:
    """Rendering refuses invalid values even if no spec has checked them."""
    with pytest.raises(InvalidInput) as refused:
        _render(document)
    assert refused.value.field == field


@pytest.mark.parametrize("method", HTTP_METHODS)
def test_every_method_of_a_monitor_is_rendered(method: str) -> None:
    """Every method that a monitor's spec accepts is rendered."""
    assert f"http-check send meth {method} uri / ver HTTP/1.0\n" in text_of(_render(_monitored(http_method=method)))


def test_blanks_between_expected_codes_are_left_out() -> None:
    """The spec accepts blanks, HAProxy does not."""
    assert "http-check expect status 200,202\n" in text_of(_render(_monitored(expected_codes="200, 202")))


def test_pinged_members_are_never_added_at_run_time() -> None:
    """HAProxy 2.6 dies of an external check that is added at run time, so the bundle tells the agent not to add one."""
    haproxy = haproxy_of(_render(_monitored(type="PING")))
    [pool_id, pings] = [backend.name for backend in haproxy.backends]
    assert haproxy.backends == (
        Backend(pool_id, pool_id, serves=True, dynamic=True),
        Backend(pings, pool_id, serves=False, dynamic=False),
    )
    assert [server.backend for server in haproxy.servers] == [pool_id, pings]
    assert len({server.member_id for server in haproxy.servers}) == 1


def test_a_ping_goes_to_the_monitor_address() -> None:
    """The monitor address is pinged; the member's own address is for its clients, and is pinged if there is no
    other."""
    for values, address in (({"monitor_address": "fd00::7", "monitor_port": 9}, "fd00::7"), ({}, "10.0.0.1")):
        document = _monitored(type="PING")
        document["pools"]["web"]["members"][0].update(values)
        serving, pinged = haproxy_of(_render(document)).servers
        assert (serving.address, pinged.address) == ("10.0.0.1", address)
        assert serving.line.endswith(f" track {pinged.backend}/{pinged.name}")


def test_two_listeners_cannot_share_a_port() -> None:
    """Two listeners with one port would share one socket, and HAProxy would give it to the first."""
    document = _document()
    document["listeners"].append({"protocol": "TCP", "protocol_port": 8080})
    with pytest.raises(InvalidInput, match="two listeners"):
        _render(document)


def test_policies_need_a_listener_that_reads_requests() -> None:
    """A policy of a TCP listener, which does not read requests, is refused and not ignored."""
    document = _with_rule()
    document["listeners"][0]["protocol"] = "TCP"
    with pytest.raises(InvalidInput, match="HTTP listener"):
        _render(document)


def _with_words(words: int) -> Bundle:
    """A policy whose line ``http-request deny if RULE RULE ...`` has ``words`` words."""
    rule = {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/"}
    return _render(_document({"l7policies": [{"action": "REJECT", "rules": [rule] * (words - 3)}]}))


def test_more_words_than_haproxy_reads_on_a_line_are_refused() -> None:
    """A line with too many words would be an error of the whole configuration, so the change that causes it is
    refused."""
    with pytest.raises(InvalidInput, match=str(MAX_WORDS)):
        _with_words(MAX_WORDS + 1)


@pytest.mark.parametrize("haproxy", haproxies.find_haproxies().values(), ids=haproxies.find_haproxies().keys())
def test_haproxy_reads_the_longest_line(haproxy: str, tmp_path: Path) -> None:
    """The real daemon reads a line with the most words that rendering allows."""
    assert haproxies.check(haproxy, _with_words(MAX_WORDS), tmp_path) == ""


def test_keywords_come_from_the_code() -> None:
    """Every ``Keyword``, ``Variable`` and first argument of ``Directive`` is a literal, and only the model creates
    ``Written`` text, so no value of a resource can become a keyword of HAProxy."""
    spelled = 0
    for module in Path(portico.render.model.__file__).parent.glob("*.py"):
        calls = [node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Call)]
        for call in calls:
            where = f"{module.name}:{call.lineno}"
            if isinstance(call.func, ast.Name) and call.func.id in ("Keyword", "Directive", "Variable"):
                assert isinstance(call.args[0], ast.Constant), where
                spelled += 1
            if module.name != "model.py":
                assert "Written" not in ast.unparse(call.func), where
                assert not {"Keyword", "Variable", "Written"} & {ast.unparse(argument) for argument in call.args}, where
    assert spelled > 100
