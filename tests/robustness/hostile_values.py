"""Values and texts that programs stumble over, for fields of recipes, descriptions and lists."""

import json
import math
import random
from typing import Any

from text_mutations import mutated

EXTREMES: tuple[Any, ...] = (
    *(0, -1, 1, 3, 10**6, 10**9, 2**31, 2**63, 10**30, -(10**9), 1e-308, 1e308, math.nan, math.inf, -math.inf, 0.5),
    *("", "nan", "x" * 10_000, "\0", "gs://bucket/x", "/dev/zero", "$(id)", "\u202egnp", None, True, False),
    *([], [0], [1, 2, 3, 4], [10**9] * 4, ["a"], [None], [[1]], {}, {"a": 1}, [1e308, -1e308], [-1, -1, -1, -1]),
)

LITERALS = (
    *(
        "(" * 10_000,
        "[" * 200,
        "-" * 10_000,
        "1" * 10_000,
        "1_0",
        "1e999",
        "nan",
        "None",
        "...",
        "b'x'",
        "{1: 2}",
        "''",
    ),
    *("lambda: 0", "__import__('os').system('id')", "open('/etc/passwd').read()", "f'{1}'", "\0", "\ud800", "1+2j"),
    *(
        "{**{}}",
        "[*range(9)]",
        "[[[[[[1]]]]]]",
        "9" * 400,
        "0x10",
        "{'a': {'b': {'c': 1}}}",
        "(1,)",
        "'",
        "\\",
        "#",
        " 1",
    ),
)
"""Texts for fields on the command line, which are read as Python's literals."""


def hostile_json(text: bytes, rng: random.Random) -> bytes:
    """Makes a hostile file of JSON from a good one, an object.

    Args:
      text: the good one.
      rng: fixes what is made.

    Returns:
      The file: damaged text, an extreme value in place of another, or something that parsers stumble over.
    """
    match rng.randrange(4):
        case 0:
            return mutated(text, rng.randrange(2**31))
        case 1:
            return rng.choice(_documents(text))
    values = json.loads(text)
    set_somewhere(values, rng.choice(EXTREMES), rng)
    return json.dumps(values).encode()


def set_somewhere(values: dict[str, Any], value: object, rng: random.Random) -> None:
    """Replaces a field, or a field of a field.

    Args:
      values: is changed.
      value: the new one.
      rng: chooses the field.
    """
    node, key = values, rng.choice(sorted(values))
    while isinstance(node[key], dict) and node[key] and rng.random() < 0.8:
        node, key = node[key], rng.choice(sorted(node[key]))
    node[key] = value


def _documents(text: bytes) -> tuple[bytes, ...]:
    head = text.rstrip()[:-1]
    first = next(iter(json.loads(text)))
    return (
        b"[" * 100_000,
        b'{"a":' * 100_000,
        head + b', "deep": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        head + b', "number": ' + b"9" * 5000 + b"}",
        head + b', "number": 1e99999, "other": NaN, "third": -Infinity}',
        head + f', "{first}": null, "{first}": [1]}}'.encode(),  # the same name twice
        head + b', "": 1, ".": 2, "a.b": 3, "model.options": 4}',
        head + b', "\\ud800": "\\udfff"}',
        *(
            b"",
            b"null",
            b"[]",
            b"0",
            b'""',
            b"NaN",
            b"{}",
            b"{}{}",
            b"\xef\xbb\xbf" + text,
            text.decode().encode("utf-16"),
        ),
    )
