import base64

import numpy as np
import pytest

from motion_vit.visualization.packed_array import Bits, pack_array, pack_rows


def values_of(packed: dict) -> np.ndarray:
    """What the page reads, by the description in the module."""
    codes = np.frombuffer(base64.b64decode(packed["data"]), {8: "u1", 16: "<u2"}[packed["bits"]]).astype(float)
    least, greatest = packed["least"], packed["greatest"]
    if isinstance(least, str):
        codes = codes.reshape(-1, packed["shape"][-1])
        least, greatest = (np.frombuffer(base64.b64decode(ends), "<f4")[:, None] for ends in (least, greatest))
    values = least + (codes - 1) / (2 ** packed["bits"] - 2) * (greatest - least)
    return np.where(codes == 0, np.nan, values).reshape(packed["shape"])


@pytest.mark.parametrize("bits", [8, 16])
def test_values_come_back_within_half_a_step_and_gaps_as_gaps(bits: Bits) -> None:
    values = np.random.default_rng(0).normal(size=(3, 4, 5))
    values[1, 2] = np.nan
    back = values_of(pack_array(values, bits=bits))
    step = (np.nanmax(values) - np.nanmin(values)) / (2**bits - 2)
    np.testing.assert_allclose(back, values, atol=step / 2 * 1.001)


def test_rows_have_steps_of_their_own() -> None:
    """A small row beside a large one keeps its order, which a common scale would lose."""
    values = np.array([[0.0, 1e6], [1.0, 1.001]])
    np.testing.assert_allclose(values_of(pack_rows(values)), values, rtol=1e-6)


def test_arrays_of_one_value_or_of_none_can_be_packed() -> None:
    np.testing.assert_array_equal(values_of(pack_array(np.full((2, 2), 3.0))), np.full((2, 2), 3.0))
    assert np.isnan(values_of(pack_rows(np.full((2, 2), np.nan)))).all()
