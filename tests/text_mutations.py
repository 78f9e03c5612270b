"""Damages text files as disks, editors, spreadsheets and unfinished downloads do, the same way for the same seed."""

import random

_SEPARATORS = (b",", b";", b"\t", b" ", b":", b"|")
_STRAY = (b'"', b"'", b"\\", b"\r", b"\n", b"\x0c", "\u2028".encode(), b"\xff", b"\0", b"\0\0\0", b"{", b"]")
_NUMBERS = (b"nan", b"-1", b"inf", b"1e999", b"1_0", b"9" * 5000, "\u0661".encode(), b"")
_ENCODINGS = ("utf-16", "utf-32", "utf-7", "cp500", "latin-1")


def mutated(data: bytes, seed: int) -> bytes:
    """One to three kinds of damage to a text file.

    Args:
      data: The file.
      seed: Fixes the damage.

    Returns:
      The damaged file.
    """
    rng = random.Random(seed)
    for _ in range(rng.randint(1, 3)):
        data = rng.choice(_DAMAGES)(data, rng)
    return data


def _insert(data: bytes, rng: random.Random, piece: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + piece + data[at:]


def _flip_bits(data: bytes, rng: random.Random) -> bytes:
    flipped = bytearray(data)
    for _ in range(rng.randint(1, 8) if data else 0):
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def _truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _swap_separators(data: bytes, rng: random.Random) -> bytes:
    old, new = rng.sample(_SEPARATORS, 2)
    return data.replace(old, new, rng.choice([1, 5, -1]))


def _add_stray(data: bytes, rng: random.Random) -> bytes:
    return _insert(data, rng, rng.choice(_STRAY))


def _add_huge(data: bytes, rng: random.Random) -> bytes:
    return _insert(data, rng, rng.choice((b"9", b"x", b'"', b",", b"[")) * 140_000)


def _replace_number(data: bytes, rng: random.Random) -> bytes:
    digits = [at for at, byte in enumerate(data) if chr(byte).isdigit()]
    at = rng.choice(digits or [0])
    return data[:at] + rng.choice(_NUMBERS) + data[at + 1 :]


def _recode(data: bytes, rng: random.Random) -> bytes:
    return data.decode("utf-8", "replace").encode(rng.choice(_ENCODINGS), "replace")


def _shuffle_lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    rng.shuffle(lines)
    return b"\n".join(lines)


def _repeat_line(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    lines.insert(rng.randrange(len(lines)), rng.choice(lines))
    return b"\n".join(lines)


_DAMAGES = (
    _flip_bits,
    _truncate,
    _swap_separators,
    _add_stray,
    _add_huge,
    _replace_number,
    _recode,
    _shuffle_lines,
    _repeat_line,
)
