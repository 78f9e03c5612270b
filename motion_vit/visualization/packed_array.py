"""Packs arrays as text for a page, one or two bytes per value.

Code 0 is NaN, for missing values; code 1 is the least value, the greatest code the greatest value, and the codes
between are equal steps.
"""

import base64
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

_CODES: dict[int, np.dtype[Any]] = {8: np.dtype("u1"), 16: np.dtype("<u2")}

Bits = Literal[8, 16]


def pack_array(values: Float[np.ndarray, "*shape"], *, bits: Bits = 8) -> dict[str, Any]:
    """Packs an array with equal steps for all its values.

    Args:
      values: numbers; NaN for missing ones.
      bits: width of a code.

    Returns:
      A mapping for JSON: `shape`; `bits`; `least` and `greatest`, the values of the least and the greatest code;
        `data`, the codes in base64, little-endian.
    """
    least, greatest = _ends(values.reshape(1, -1))
    codes = _codes(values.reshape(1, -1), least, greatest, bits)
    return {
        "shape": list(values.shape),
        "bits": bits,
        "least": float(least[0]),
        "greatest": float(greatest[0]),
        "data": _text(codes),
    }


def pack_rows(values: Float[np.ndarray, "*rows entries"]) -> dict[str, Any]:
    """Packs an array whose rows along the last axis have their own steps, such as the affinities of a query.

    Args:
      values: numbers; NaN for missing ones.

    Returns:
      A mapping for JSON like that of `pack_array`, with codes of 8 bits, but `least` and `greatest` of all rows as
      little-endian float32 in base64.
    """
    rows = values.reshape(-1, values.shape[-1])
    least, greatest = _ends(rows)
    return {
        "shape": list(values.shape),
        "bits": 8,
        "least": _text(least.astype("<f4")),
        "greatest": _text(greatest.astype("<f4")),
        "data": _text(_codes(rows, least, greatest, 8)),
    }


def packed_size(packed: dict[str, Any]) -> int:
    """Measures the length of a packed array's text.

    Args:
      packed: returned by `pack_array` or `pack_rows`.

    Returns:
      Characters, without the shape.
    """
    return sum(len(part) for part in packed.values() if isinstance(part, str))


def _ends(rows: Float[np.ndarray, "rows entries"]) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
    known = np.isfinite(rows)
    least = np.where(known, rows, np.inf).min(axis=-1)
    greatest = np.where(known, rows, -np.inf).max(axis=-1)
    empty = ~known.any(axis=-1)
    return np.where(empty, 0.0, least), np.where(empty, 0.0, greatest)


def _codes(
    rows: Float[np.ndarray, "rows entries"],
    least: Float[np.ndarray, " rows"],
    greatest: Float[np.ndarray, " rows"],
    bits: Bits,
) -> np.ndarray:
    span = (greatest - least)[:, None]
    known = np.isfinite(rows)
    places = (np.where(known, rows, least[:, None]) - least[:, None]) / np.where(span > 0, span, 1.0)
    steps = 2**bits - 2
    return np.where(known, 1 + np.round(places * steps), 0).astype(_CODES[bits])


def _text(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
