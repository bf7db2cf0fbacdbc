"""The words of enum values in JSON: `running` for SESSION_STATE_ACTIVE."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from google.protobuf.descriptor import EnumDescriptor

from callboard.options.v1 import rest_pb2


class NumberedWords(dict[int, str]):
    """Words by number. An unknown number becomes a word with that number; 0 without a word is an error."""

    def __init__(self, words: Mapping[int, str], stem: str) -> None:
        super().__init__(words)
        self._stem = stem

    def __missing__(self, number: int) -> str:
        if not number:
            raise KeyError(number)
        return f"{self._stem}_{number}"


@dataclass(frozen=True, slots=True)
class EnumWords:
    """The words of an enum. `numbers` has the words that a caller may give. Long enums have `pattern` and `rule`."""

    words: NumberedWords
    numbers: Mapping[str, int]
    pattern: str
    rule: str


@cache
def words_of(enum: EnumDescriptor) -> EnumWords:
    """Return the words of an enum."""
    style = enum.GetOptions().Extensions[rest_pb2.words]
    prefix = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", enum.name).upper() + "_"
    words = {}
    for value in enum.values:
        own = value.GetOptions().Extensions[rest_pb2.word]
        name = value.name.removeprefix(prefix)
        if own or value.number:
            words[value.number] = own or (name if style.upper else name.lower())
    stem = prefix.rstrip("_").rpartition("_")[2]
    return EnumWords(
        NumberedWords(words, stem if style.upper else stem.lower()),
        {word: number for number, word in words.items() if number},
        style.pattern,
        style.rule,
    )
