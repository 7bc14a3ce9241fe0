"""Members cannot have addresses that belong to clouds, hosts or operators, in any notation."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.errors import InvalidInput
from portico.resources import MemberSpec
from portico.resources.member_addresses import SPECIAL
from portico.settings import ValidationSettings

STRICT = ValidationSettings()
OPEN = ValidationSettings(
    allow_loopback_members=True, allow_link_local_members=True, allow_special_members=True, reserved_networks=()
)


def _parse(address: IPv4Address | IPv6Address | str, rules: ValidationSettings, field: str = "address") -> None:
    values = {"address": "192.0.2.1", "protocol_port": 80, field: str(address)}
    MemberSpec.parse(values, rules)


def _forms(address: IPv4Address) -> dict[str, IPv6Address]:
    """The IPv6 addresses that can stand for an IPv4 address."""
    number = int(address)
    prefixed = {
        "IPv4-compatible": "::",
        "IPv4-mapped": "::ffff:0:0",
        "IPv4-translated": "::ffff:0:0:0",
        "NAT64": "64:ff9b::",
        "local NAT64": "64:ff9b:1:2:3:4::",
        "ISATAP": "2001:db8::5efe:0:0",
        "ISATAP, universal": "2001:db8::200:5efe:0:0",
    }
    forms = {name: IPv6Address(int(IPv6Address(prefix)) | number) for name, prefix in prefixed.items()}
    forms["6to4"] = IPv6Address(0x2002 << 112 | number << 80 | 1)
    forms["Teredo server"] = IPv6Address(0x20010000 << 96 | number << 64 | 0x3F57FEFE)
    forms["Teredo client"] = IPv6Address(0x20010000 << 96 | 0x08080808 << 64 | number ^ 0xFFFFFFFF)
    local = int(IPv6Address("64:ff9b:1::"))
    forms["NAT64 of 48 bits"] = IPv6Address(local | number >> 16 << 64 | (number & 0xFFFF) << 40)
    forms["NAT64 of 56 bits"] = IPv6Address(local | number >> 24 << 64 | (number & 0xFFFFFF) << 32)
    forms["NAT64 of 64 bits"] = IPv6Address(local | number << 24)
    return forms


@pytest.mark.parametrize(
    "address",
    [
        *(
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "0.0.0.1",
            "0.255.255.255",
            "240.0.0.1",
            "255.255.255.254",
        ),
        *("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42", "fd00:a9fe:a9fe::1"),
        *("fd00:100::100:200", "fec0::2", "FD00:0EC2:0:0::0254"),
    ],
)
@pytest.mark.parametrize("field", ["address", "monitor_address"])
def test_addresses_of_cloud_services_are_refused_unless_allowed(address: str, field: str) -> None:
    """Addresses of metadata services and reserved networks are refused as member and monitor addresses, unless the
    operator allows them."""
    with pytest.raises(InvalidInput) as refusal:
        _parse(address, STRICT, field)
    assert refusal.value.field == field
    _parse(address, ValidationSettings(allow_special_members=True), field)


@pytest.mark.parametrize("form", _forms(IPv4Address("192.0.2.1")))
@pytest.mark.parametrize(
    ("address", "rules"),
    [
        ("169.254.169.254", STRICT),
        ("127.0.0.1", STRICT),
        ("100.100.100.200", STRICT),
        ("168.63.129.16", STRICT),
        ("240.1.2.3", STRICT),
        ("224.0.0.1", OPEN),
        ("255.255.255.255", OPEN),
        ("10.20.30.40", OPEN.model_copy(update={"reserved_networks": ("10.20.0.0/16",)})),
    ],
)
def test_an_embedded_address_is_refused_by_the_same_rules(address: str, rules: ValidationSettings, form: str) -> None:
    """An IPv6 address that a device on the way would translate is refused like the address that it stands for."""
    with pytest.raises(InvalidInput, match="address"):
        _parse(_forms(IPv4Address(address))[form], rules)


@given(st.ip_addresses(v=4, network="10.0.0.0/8"))
def test_ordinary_addresses_are_accepted_in_every_form(address: IPv4Address) -> None:
    """The rules apply to the embedded address, however it is embedded. (The meaning of the operator's own NAT64 depends
    on an unknown prefix, so there each possible meaning must be harmless.)"""
    forms = {name: embedded for name, embedded in _forms(address).items() if not name.startswith(("local", "NAT64 of"))}
    _parse(address, STRICT)
    for embedded in forms.values():
        _parse(embedded, STRICT)


@given(st.one_of(st.ip_addresses(v=6, network="2001:db8::/33"), st.ip_addresses(v=6, network="fd12:3456:789a::/48")))
def test_ordinary_ipv6_addresses_are_accepted(address: IPv6Address) -> None:
    """An IPv6 address that embeds nothing is only judged as itself."""
    if int(address) >> 32 & 0xFDFFFFFF != 0x00005EFE:
        _parse(address, STRICT)


def test_ipv6_loopback_embeds_no_other_address() -> None:
    """``::1`` is within the prefix of IPv4-compatible addresses, but is accepted where loopback members are allowed."""
    _parse("::1", ValidationSettings(allow_loopback_members=True))
    with pytest.raises(InvalidInput, match="loopback"):
        _parse("::1", STRICT)


def test_every_special_network_has_a_description() -> None:
    """Each entry of the table explains what the network is."""
    assert all(what and what[0] for _, what in SPECIAL)
    assert len({network for network, _ in SPECIAL}) == len(SPECIAL)
