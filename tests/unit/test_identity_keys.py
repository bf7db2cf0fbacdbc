"""API keys: their form, what is stored of them, and which texts are invalid."""

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.identity.keys import hash_key, new_key, parse_key_id


def test_key_has_an_id_and_256_random_bits() -> None:
    key = new_key()
    assert re.fullmatch(r"cb_[a-z2-7]{12}_[A-Za-z0-9_-]{43}", key.secret_text)
    assert key.secret_text.split("_")[1] == key.key_id


def test_stored_hash_covers_the_whole_key() -> None:
    key = new_key()
    assert key.key_hash == hash_key(key.secret_text) == hashlib.sha256(key.secret_text.encode()).digest()
    assert key.secret_text not in repr(key)


def test_keys_are_unique() -> None:
    keys = [new_key() for _ in range(1000)]
    assert len({key.key_id for key in keys}) == len({key.secret_text for key in keys}) == 1000


def test_id_is_found_with_any_secret() -> None:
    assert parse_key_id("cb_abcdefghij27_" + "_-" * 22) == "abcdefghij27"
    assert all(parse_key_id(key.secret_text) == key.key_id for key in (new_key() for _ in range(1000)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cb_",
        "cb_abcdefghij27",
        "cb_abcdefghij27_short",
        "cb_ABCDEFGHIJ27_" + "a" * 43,
        "cb_abcdefghij1_" + "a" * 43,
        "cb_abcdefghij27_" + "a" * 42 + "=",
        "cb_abcdefghij27_" + "a" * 43 + "\n",
        "xx_abcdefghij27_" + "a" * 43,
        "cb_abcdefghij27_" + "a" * 10_000,
    ],
)
def test_invalid_key_has_no_id(text: str) -> None:
    assert parse_key_id(text) is None


@given(st.text())
def test_any_text_can_be_parsed_and_hashed(text: str) -> None:
    assert parse_key_id(text) is None
    assert len(hash_key(text)) == 32


def test_lone_surrogate_can_be_hashed() -> None:
    assert len(hash_key("cb_\ud800")) == 32
