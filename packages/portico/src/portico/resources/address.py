"""Addresses: stored and shown as they were sent, and compared by a canonical form that is stored beside them."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import Annotated

from pydantic import AfterValidator


def canonical_address(value: str) -> str:
    """The canonical spelling of an IPv4 or IPv6 address, in which addresses are compared and passed to other systems.

    Raises:
        ValueError: ``value`` is not an address.
    """
    address = ip_address(value)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return f"::ffff:{address.ipv4_mapped}"  # Python spells these differently from version to version
    return str(address)


def canonical_or_none(value: str | None) -> str | None:
    """The canonical form of an address; None for None."""
    return canonical_address(value) if value is not None else None


def in_canonical_form(value: str) -> str:
    """The value to look for among canonical addresses. Text that is not an address stays as it is, and is not found."""
    try:
        return canonical_address(value)
    except ValueError:
        return value


def _check_address(value: str) -> str:
    # The zone of an IPv6 address may be any text, line breaks included, and means something on one host only.
    if "%" in value:
        raise ValueError("must be an address without a zone")
    ip_address(value)
    return value


Address = Annotated[str, AfterValidator(_check_address)]
"""An IPv4 or IPv6 address, as it was spelled."""
