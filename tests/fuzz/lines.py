"""Lines to begin with, and what is done to them: bytes, tokens and whole values changed at random."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

_EVENTS: Final = (
    {"timestamp": "2026-02-10T12:00:00Z", "type": "question", "text": "why?", "session_id": "s1", "user_id": "u1"},
    {
        "timestamp": "2026-02-10 12:00:00.123456+01:00",
        "type": "llm_request",
        "model": "gpt-4o",
        "input_tokens": 12,
        "output_tokens": 3,
        "ttft_ms": 310.5,
        "duration_ms": 1e3,
        "cost_usd": 0.02,
        "cached": False,
        "success": True,
    },
    {"id": "e1", "timestamp": "2026-02-11", "type": "tool_use", "tool_name": "grep", "duration_ms": 12, "extra": [1]},
    {"id": "e2", "timestamp": "2199-12-31T23:59:59.999999Z", "type": "error_occurred", "attributes": {"a": {"b": 1}}},
    {"timestamp": "1970-01-01T00:00:00Z", "type": "rerank", "value": -1.5e-7, "attributes": {}, "x": {"y": None}},
    {"record": "event", "timestamp": "2026-02-10T12:00:00+0530", "type": "é", "name": "\u0000\U0001f600", "n": 12345},
)
SEEDS: Final = tuple(json.dumps(event).encode() for event in _EVENTS)
CSV_HEADER: Final = b"id,timestamp,type,name,duration_ms,input_tokens,success,attributes,extra\n"
CSV_SEEDS: Final = (
    b"e1,2026-02-10T12:00:00Z,question,ann,12.5,3,true,,more",
    b',2026-02-11,tool_use,"a ""b"", c",,,,"{""k"": 1}",',
    b"e2,2026-02-10 12:00:00.5+01:00,step,,0,0,false,{},1",
    b',2026-02-12T00:00:00Z,"x\ny",,1e3,,,,',
)
TOKENS: Final = (
    b"null",
    b"true",
    b"false",
    b"NaN",
    b"-Infinity",
    b"inf",
    b"0",
    b"-0",
    b"-0.0",
    b"-1",
    b"1.5",
    b"12.0",
    b"1e3",
    b"1e400",
    b"1e12",
    b"1000000000001",
    b"9223372036854775808",
    b"123456789012345678901234567890",
    b"0.1e-5",
    b"01",
    b"1.",
    b".5",
    b'""',
    b'"x"',
    b'"true"',
    b'"1"',
    b'"12.5"',
    b'" 7 "',
    b'"\\ud800"',
    b'"\\u0000"',
    b'"\\n"',
    b'"\xc3\xa9"',
    b"[]",
    b"{}",
    b'{"a":{"b":[1,null,{"c":1.50}]}}',
    b"[[[[]]]]",
    b'"2026-02-10"',
    b'"2026-02-30"',
    b'"2026-02-10T24:00:00Z"',
    b'"epoch"',
    b'"2026-02-10T12:00:00.1234567890Z"',
    b'"1969-12-31T23:59:59Z"',
    b'"2200-01-01"',
    b'"9999-12-31"',
    b'"infinity"',
    b"1770724800",
    b'"2026-02-10T12:00:00-14:00"',
    b'"2026-02-10T12:00:00+99:00"',
    b'"10/02/2026"',
    b'"2026-2-1"',
    b'"2026-02-10T12"',
    b'"12:00"',
)
CSV_TOKENS: Final = (
    *(token.strip(b'"') for token in TOKENS if b"\\" not in token),
    *(b'"a ""b"""', b'"{""k"":[1,null]}"', b'""'),
)
_FIELDS: Final = (
    b"id",
    b"timestamp",
    b"type",
    b"name",
    b"success",
    b"cached",
    b"value",
    b"record",
    b"attributes",
    b"ttft_ms",
    b"total_tokens",
    b"input_tokens",
    b"duration_ms",
    b"cost_usd",
    b"Timestamp",
    b"",
    b"a.b",
    b"$.type",
    b"extra",
    b"line",
    b"day",
    b"load_id",
)
_BYTES: Final = (
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b",",
    b":",
    b"\\",
    b" ",
    b"\t",
    b"\r",
    b"\x00",
    b"\x01",
    b"\x1f",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xc0\x80",
    b"\xe2\x80\xa8",
    b"'",
    b"--",
    b"//",
    b";",
    b"|",
    b"\x1f\x8b",
)


def mutated(random: Random, line: bytes, others: Sequence[bytes], tokens: Sequence[bytes] = TOKENS) -> bytes:
    """A line with one to four things changed in it; never with a line end in it."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        line = _CHANGES[random.randrange(len(_CHANGES))](random, line, others, tokens)
    return line.replace(b"\n", b" ")[:4096]


def _cut(random: Random, line: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    del others, tokens
    start, end = sorted(random.randrange(len(line) + 1) for _ in range(2))
    return line[:start] + line[min(end, start + random.choice((1, 2, 9, 999))) :]


def _insert(random: Random, line: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    del others
    place = random.randrange(len(line) + 1)
    return line[:place] + random.choice(random.choice((_BYTES, tokens))) + line[place:]


def _flip(random: Random, line: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    del others, tokens
    changed = bytearray(line or b" ")
    changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _repeat(random: Random, line: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    del others, tokens
    start, end = sorted(random.randrange(len(line) + 1) for _ in range(2))
    return line[:end] + line[start:end] * random.choice((1, 1, 7)) + line[end:]


def _splice(random: Random, line: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    del tokens
    other = random.choice(others)
    return line[: random.randrange(len(line) + 1)] + other[random.randrange(len(other) + 1) :]


def _value(random: Random, line: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    """Another value for one of the fields, so that a line stays whole more often than by chance."""
    del others
    places = [
        place
        for place in range(len(line))
        if line[place : place + 2] in {b": ", b", "} or line[place : place + 1] == b","
    ]
    if not places:
        return line
    start = random.choice(places) + 1
    end = line.find(b",", start)
    end = len(line.rstrip(b"}")) if end < 0 else end
    return line[:start] + random.choice(tokens) + line[end:]


def _field(random: Random, line: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    """One more field, at the beginning or the end."""
    del others
    member = b'"' + random.choice(_FIELDS) + b'":' + random.choice(tokens)
    return b"{" + member + b"," + line[1:] if random.random() < 0.5 else line.rstrip()[:-1] + b"," + member + b"}"


_CHANGES: Final = (_cut, _insert, _flip, _repeat, _splice, _value, _value, _value, _field, _field)
