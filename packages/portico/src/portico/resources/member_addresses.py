"""Addresses that members may have. An amphora reaches networks that its users do not reach, and must not connect to
them on a user's behalf."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network

from portico.resources.row import FieldError
from portico.settings import ValidationSettings

SPECIAL = tuple(
    (ip_network(network), what)
    for network, what in (
        ("0.0.0.0/8", "this network (RFC 1122), which Linux treats as the host itself"),
        ("168.63.129.16/32", "Azure's platform address (learn.microsoft.com, What is IP address 168.63.129.16)"),
        ("100.100.100.200/32", "Alibaba Cloud's metadata (its ECS guide, Access instance metadata)"),
        ("192.0.0.0/24", "IETF protocol assignments (RFC 6890); Oracle's old metadata address is 192.0.0.192"),
        ("240.0.0.0/4", "reserved (RFC 1112)"),
        ("fd00:ec2::/32", "AWS's instance services (EC2 user guide: metadata ::254, DNS ::253, time ::123, EKS ::23)"),
        ("fd20:ce::254/128", "Google Cloud's metadata (its Compute Engine guide, About VM metadata)"),
        ("fd00:c1::a9fe:a9fe/128", "Oracle Cloud's metadata (cloud-init, data source Oracle)"),
        ("fd00:42::42/128", "Scaleway's metadata (cloud-init, data source Scaleway)"),
        ("fd00:a9fe:a9fe::1/128", "Akamai's metadata (cloud-init, data source Akamai)"),
        ("fd00:100::100:200/128", "Alibaba Cloud's metadata (its ECS guide, Access instance metadata)"),
        ("fec0::/10", "site-local (deprecated by RFC 3879); QEMU's user network has the host at fec0::2"),
    )
)
"""Networks in which no member has a legitimate place, and what is there. Metadata services in 169.254.0.0/16 and
fe80::/10 are covered already, as link-local."""

_SPECIAL_OF = {version: [network for network, _ in SPECIAL if network.version == version] for version in (4, 6)}
_BROADCAST = IPv4Address("255.255.255.255")
_LAST_32_BITS = tuple(
    IPv6Network(prefix)
    for prefix in (
        "::/96",  # IPv4-compatible (RFC 4291, 2.5.5.1)
        "::ffff:0:0/96",  # IPv4-mapped (RFC 4291, 2.5.5.2)
        "::ffff:0:0:0/96",  # IPv4-translated (RFC 2765)
        "64:ff9b::/96",  # NAT64 (RFC 6052)
    )
)
"""Prefixes whose last 32 bits are an IPv4 address."""
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
"""RFC 8215: operators choose longer prefixes within it."""
_ISATAP = (0x00005EFE, 0x02005EFE)
"""First halves of interface identifiers that end in an IPv4 address (RFC 5214)."""


def check_reachable(field: str, address: IPv4Address | IPv6Address, settings: ValidationSettings) -> None:
    """Refuse an address to which load balancers must not connect, also if an IPv6 address embeds it in any known form.

    Raises:
        FieldError: names ``field`` and the rule.
    """
    _check_one(field, address, settings)
    if isinstance(address, IPv6Address):
        for contained in contained_addresses(address):
            _check_one(field, contained, settings)


def contained_addresses(address: IPv6Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that a device on the path might extract from an IPv6 address."""
    if address.is_unspecified or address.is_loopback:  # these are in ::/96, but embed no IPv4 address
        return
    bits = int(address)
    if any(address in network for network in _LAST_32_BITS) or bits >> 32 & 0xFFFFFFFF in _ISATAP:
        yield IPv4Address(bits & 0xFFFFFFFF)
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:  # the server, and the client, whose bits are inverted (RFC 4380)
        yield from address.teredo
    if address in _LOCAL_NAT64:
        yield from _translated(bits)


def _translated(bits: int) -> Iterator[IPv4Address]:
    """The IPv4 addresses that translators with a prefix of 48, 56, 64 or 96 bits would extract, leaving out bits 64 to
    71 (RFC 6052, 2.2). If the first byte of one is zero, the prefix has another length."""
    without_reserved = bits >> 64 << 56 | bits & (1 << 56) - 1
    for found in (*(without_reserved >> 120 - length - 32 & 0xFFFFFFFF for length in (48, 56, 64)), bits & 0xFFFFFFFF):
        if found >> 24:
            yield IPv4Address(found)


def _check_one(field: str, address: IPv4Address | IPv6Address, settings: ValidationSettings) -> None:
    if address.is_multicast or address.is_unspecified or address == _BROADCAST:
        raise FieldError(field, "must not be a multicast, broadcast or unspecified address")
    if address.is_link_local and not settings.allow_link_local_members:
        raise FieldError(field, "link-local addresses are not allowed here (validation.allow_link_local_members)")
    if address.is_loopback and not settings.allow_loopback_members:
        raise FieldError(field, "loopback addresses are not allowed here (validation.allow_loopback_members)")
    if not settings.allow_special_members and any(address in network for network in _SPECIAL_OF[address.version]):
        rule = "reserved addresses and those of a cloud's own services are not allowed here"
        raise FieldError(field, f"{rule} (validation.allow_special_members)")
    if any(address in ip_network(reserved) for reserved in settings.reserved_networks):  # the error does not name it
        raise FieldError(
            field, "addresses in this deployment's own networks are not allowed (validation.reserved_networks)"
        )
