"""What the TPU compiler says of a part is the same on every machine, and guards against changes that cost traffic."""

import importlib.util

import jax.numpy as jnp
import pytest
import tpu_ahead_of_time

from motion_vit.modules.emim import Emim
from motion_vit.training.tpu_topology import topology_devices


@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="the TPU compiler libtpu is not installed (the extra `tpu`)"
)
def test_cost_volumes_on_a_tpu_take_no_more_memory_traffic_than_they_did() -> None:
    module = Emim(heads=1, dtype=jnp.bfloat16)
    costs, _ = tpu_ahead_of_time.compile_part(module, (2, 4, 7, 7, 64), topology_devices("v5e:2x2")[0])
    assert costs.floor_gigabytes == pytest.approx(4 * 2 * 4 * 7 * 7 * 64 * 2 / 1e9)
    # 21.6 MB when this was written; indexing instead of matrix products would take 56.5.
    assert costs.floor_gigabytes < costs.gigabytes < 0.024
