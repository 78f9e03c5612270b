"""Throughput of a run: clips per second, model FLOP/s, and utilisation of the devices."""

import dataclasses

from flax import linen as nn
from jax.sharding import Mesh

from motion_vit.models.inspection import measure_costs
from motion_vit.training.logs.peak_flops import peak_flops_per_second

# The backward pass computes two products for each of the forward pass: a gradient of the input and one of the weights.
_TRAINING_PASSES = 3


def training_flops(model: nn.Module, clip_shape: tuple[int, int, int, int]) -> int:
    """Counts the model FLOPs of a training step per clip.

    Each multiply-add of linear layers, convolutions and attention counts two, three times for forward and backward pass
    (PaLM, arXiv 2204.02311, appendix B). Recomputation by `remat` is overhead and not counted. All parameters count as
    trained; with frozen ones the computation is less.

    Args:
      model: a model of `motion_vit.create_model`.
      clip_shape: frames, height, width and channels.

    Returns:
      Floating-point operations per clip.
    """
    multiply_adds = sum(cost.multiply_adds for cost in measure_costs(model, clip_shape).values())
    return 2 * _TRAINING_PASSES * multiply_adds


@dataclasses.dataclass(frozen=True)
class Throughput:
    """Converts clips per second to model FLOP/s and utilisation.

    Attributes:
      flops_per_clip: model FLOPs of a training step per clip; see `training_flops`.
      devices: number of devices of all processes that run the step.
      peak: peak FLOP/s of one device, None if unknown.
    """

    flops_per_clip: int
    devices: int
    peak: float | None

    @classmethod
    def of(cls, model: nn.Module, clip_shape: tuple[int, int, int, int], mesh: Mesh) -> "Throughput":
        """Makes the throughput of a model's training steps.

        Args:
          model: a model of `motion_vit.create_model`; its `dtype` selects the peak.
          clip_shape: frames, height, width and channels.
          mesh: the devices, all of one kind.

        Returns:
          Costs and peak for `rates`.
        """
        kind = mesh.devices.flat[0].device_kind
        return cls(training_flops(model, clip_shape), mesh.size, peak_flops_per_second(kind, model.dtype))

    def rates(self, clips_per_second: float) -> dict[str, float]:
        """Computes the rates of a run.

        Args:
          clips_per_second: clips trained per second, over all processes.

        Returns:
          `clips_per_second`, `clips_per_second_per_device`, `model_tflops_per_second` (1e12 model FLOPs per second),
          `model_tflops_per_second_per_device`, and, where the peak is known, `model_flops_utilization` (MFU), the share
          of the peak in [0, 1].
        """
        flops_per_second = clips_per_second * self.flops_per_clip
        rates = {
            "clips_per_second": clips_per_second,
            "clips_per_second_per_device": clips_per_second / self.devices,
            "model_tflops_per_second": flops_per_second / 1e12,
            "model_tflops_per_second_per_device": flops_per_second / self.devices / 1e12,
        }
        if self.peak is not None:
            rates["model_flops_utilization"] = flops_per_second / self.devices / self.peak
        return rates
