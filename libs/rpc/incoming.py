"""Reads the metadata of a call: its request id, its key and its client's address."""

import ipaddress
import itertools
import re
import secrets
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network
from typing import Any
from urllib.parse import unquote

from libs.errors import Reason, ServiceError

AUTHORIZATION = "authorization"
REQUEST_ID = "x-request-id"
CLIENT_ADDRESS = "x-callboard-client-address"
LOOPBACK = ("127.0.0.0/8", "::1/128")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def text_metadata(pairs: Iterable[Any] | None) -> dict[str, str]:
    """Return the text entries of a call's metadata. The last value of a repeated key counts."""
    return {key: value for key, value in pairs or () if isinstance(value, str)}


class RequestIds:
    """Assigns request ids: 64 random bits for the server, then a count. A UUID for each call would take 10 µs."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(8)
        self._numbers = itertools.count(1)

    def __call__(self, metadata: dict[str, str]) -> str:
        """Return the caller's request id if it is valid, or else a new one."""
        given = metadata.get(REQUEST_ID)
        if given is not None and _REQUEST_ID.fullmatch(given):
            return given
        return f"{self._prefix}-{next(self._numbers)}"


def token_of(metadata: dict[str, str]) -> str:
    """Return the bearer token; raises ServiceError CREDENTIALS_MISSING or CREDENTIALS_INVALID."""
    header = metadata.get(AUTHORIZATION)
    if header is None:
        raise ServiceError(
            Reason.CREDENTIALS_MISSING, "the call carries no key; send it as `authorization: Bearer <key>`"
        )
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise ServiceError(Reason.CREDENTIALS_INVALID, "the key is not valid")
    return token


class AddressReader:
    """Finds the caller's network address: the peer's, or the one that a trusted peer (the gateway) reports."""

    def __init__(self, trusted_proxies: Iterable[str]) -> None:
        self._trusted = [ipaddress.ip_network(network) for network in trusted_proxies]

    def __call__(self, peer: str, metadata: dict[str, str]) -> str:
        """Return the address, or an empty string if it is unknown."""
        host = _host(peer)
        said = metadata.get(CLIENT_ADDRESS)
        if said is None or not self._is_trusted(host):
            return host
        return _address(said) or host

    def _is_trusted(self, host: str) -> bool:
        return any(_is_in(host, network) for network in self._trusted)


@lru_cache(1024)
def _is_in(host: str, network: IPv4Network | IPv6Network) -> bool:
    return bool(_address(host)) and ipaddress.ip_address(host) in network


@lru_cache(1024)
def _address(text: str) -> str:
    """Return the address in canonical form, or an empty string if the text is not an address."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


@lru_cache(4096)
def _host(peer: str) -> str:
    """Return the host of a gRPC peer such as `ipv4:1.2.3.4:5` or `ipv6:%5B::1%5D:5`."""
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return ""
    host = unquote(rest).rpartition(":")[0].strip("[]")
    return host.removeprefix("::ffff:") if "." in host else host
