"""What the TPU compiler says of a part is the same on every machine, and guards against changes that cost traffic."""

import importlib.util

import ahead_of_time
import jax.numpy as jnp
import pytest
from flax import linen as nn

from motion_vit.modules.batch_norm import BatchNorm
from motion_vit.modules.emim import Emim
from motion_vit.modules.global_attention import GlobalAttention

TOKENS = (2, 4, 7, 7, 128)
ATTENTION = {"heads": 2, "dtype": jnp.bfloat16}


@pytest.mark.fast_cases("batch norm")
@pytest.mark.usefixtures("uncached")
@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="the TPU compiler libtpu is not installed (the extra `tpu`)"
)
@pytest.mark.parametrize(
    ("module", "megabytes"),
    [
        # In the comments: what it would take otherwise.
        pytest.param(Emim(**ATTENTION), 28.8, id="emim"),  # 81.3 by indexing instead of matrix products
        pytest.param(Emim(implementation="pallas", **ATTENTION), 10.0, id="emim pallas"),
        pytest.param(GlobalAttention(implementation="pallas", **ATTENTION), 6.7, id="global attention pallas"),  # 14.9
        pytest.param(BatchNorm(dtype=jnp.bfloat16), 1.03, id="batch norm"),  # 1.23 in two passes
    ],
)
def test_parts_take_no_more_memory_traffic_on_a_tpu_than_they_did(module: nn.Module, megabytes: float) -> None:
    costs, _ = ahead_of_time.compile_part(module, TOKENS, "v5e:2x2")
    assert costs.floor_gigabytes == pytest.approx(4 * 2 * 4 * 7 * 7 * 128 * 2 / 1e9)
    # A little more than when this was written.
    assert costs.floor_gigabytes < costs.gigabytes < 1.05e-3 * megabytes
