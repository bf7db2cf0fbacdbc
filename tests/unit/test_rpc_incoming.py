"""What a call's metadata and peer say about its client."""

import pytest

from libs.rpc.incoming import AddressReader


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.7:5", "192.0.2.7"),
        ("ipv6:%5B2001:db8::1%5D:5", "2001:db8::1"),
        ("ipv6:%5B::ffff:192.0.2.7%5D:5", "192.0.2.7"),
        ("unix:/run/callboard.sock", ""),
        ("", ""),
    ],
)
def test_address_of_a_caller_is_its_peers_host(peer: str, address: str) -> None:
    assert AddressReader(())(peer, {}) == address


def test_peer_without_an_address_is_not_trusted() -> None:
    said = {"x-callboard-client-address": "203.0.113.9"}
    assert AddressReader(("0.0.0.0/0", "::/0"))("unix:/run/callboard.sock", said) == ""
