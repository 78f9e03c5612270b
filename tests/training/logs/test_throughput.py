import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn

from motion_vit.models.inspection import measure_costs
from motion_vit.models.registry import create_model
from motion_vit.models.video_model import Backbone
from motion_vit.training.logs.throughput import Throughput, training_flops
from motion_vit.training.parallel.mesh import data_mesh

CLIP = (4, 8, 8, 3)


class LinearClassifier(Backbone):
    """One matrix product, whose FLOPs anyone can count."""

    num_classes: int = 5

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool = False) -> jax.Array:
        return nn.Dense(5, name="head")(clips.reshape(len(clips), -1))


def test_a_matrix_product_costs_two_flops_a_weight_in_each_of_three_passes() -> None:
    assert training_flops(measure_costs(LinearClassifier(), CLIP)) == 3 * 2 * (4 * 8 * 8 * 3) * 5


def test_recomputation_and_scanned_blocks_are_not_work_of_the_model() -> None:
    def flops(**options: object) -> int:
        return training_flops(measure_costs(create_model("timesformer_tiny", **options)))

    plain = flops()
    for options in ({"remat": "blocks"}, {"remat": "matmuls"}, {"scan_blocks": True}):
        assert flops(**options) == plain, options


def test_rates_are_totals_and_shares_of_a_device() -> None:
    rates = Throughput(flops_per_clip=2 * 10**12, devices=8, peak=100e12).rates(40.0)
    assert rates == pytest.approx(
        {
            "clips_per_second": 40.0,
            "clips_per_second_per_device": 5.0,
            "model_tflops_per_second": 80.0,
            "model_tflops_per_second_per_device": 10.0,
            "model_flops_utilization": 0.1,
        }
    )


def test_utilization_is_left_out_on_devices_of_unknown_peak() -> None:
    throughput = Throughput.of(measure_costs(LinearClassifier(), CLIP), jnp.float32, data_mesh())
    assert throughput.devices == 8
    assert "model_flops_utilization" not in throughput.rates(40.0)
