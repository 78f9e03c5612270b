"""Throughput of a run: clips per second, model FLOP/s, and utilisation of the devices."""

import dataclasses
from collections.abc import Mapping

from jax.sharding import Mesh
from jax.typing import DTypeLike

from motion_vit.models.part_costs import PartCost
from motion_vit.training.logs.peak_flops import peak_flops_per_second

# The backward pass computes two products for each of the forward pass: a gradient of the input and one of the weights.
_TRAINING_PASSES = 3


def training_flops(costs: Mapping[str, PartCost]) -> int:
    """Counts the model FLOPs of a training step per clip.

    Each multiply-add of linear layers, convolutions and attention counts two, three times for forward and backward pass
    (PaLM, arXiv 2204.02311, appendix B). Recomputation by `remat` is overhead and not counted. All parameters count as
    trained; with frozen ones the computation is less.

    Args:
      costs: of the parts of the model, for one clip.

    Returns:
      Floating-point operations per clip.
    """
    return 2 * _TRAINING_PASSES * sum(cost.multiply_adds for cost in costs.values())


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
    def of(cls, costs: Mapping[str, PartCost], dtype: DTypeLike, mesh: Mesh) -> "Throughput":
        """Makes the throughput of a model's training steps.

        Args:
          costs: of the parts of the model, for one clip.
          dtype: dtype of the model's computation, which decides which peak counts.
          mesh: the devices, all of one kind.

        Returns:
          Costs and peak for `rates`.
        """
        kind = mesh.devices.flat[0].device_kind
        return cls(training_flops(costs), mesh.size, peak_flops_per_second(kind, dtype))

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
