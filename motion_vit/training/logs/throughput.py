"""How fast a run computes: clips a second, model FLOP/s, and the share of what the devices could do."""

import dataclasses

from jax.sharding import Mesh

from motion_vit.models.inspection import measure_costs
from motion_vit.models.video_model import VideoModel
from motion_vit.training.logs.peak_flops import peak_flops_per_second

# The backward pass computes two products for each of the forward pass: a gradient of the input and one of the weights.
_TRAINING_PASSES = 3


def training_flops(model: VideoModel, clip_shape: tuple[int, int, int, int]) -> int:
    """Model FLOPs of a training step, for each clip of it.

    Two for each multiply-add of linear layers, convolutions and attention, three times for forward and backward pass
    (PaLM, arXiv 2204.02311, appendix B). What the model does not need is not counted: recomputation by `remat` is
    overhead. All parameters count as trained; with frozen ones less is computed than this.

    Args:
      model: a model of `motion_vit.create_model`.
      clip_shape: frames, height, width and channels.

    Returns:
      Floating point operations of one clip.
    """
    multiply_adds = sum(cost.multiply_adds for cost in measure_costs(model, clip_shape).values())
    return 2 * _TRAINING_PASSES * multiply_adds


@dataclasses.dataclass(frozen=True)
class Throughput:
    """What turns clips a second into model FLOP/s and utilisation.

    Attributes:
      flops_per_clip: model FLOPs of a training step for each clip; see `training_flops`.
      devices: devices of all processes that the step runs on.
      peak: FLOP/s that one device can reach, None if not known.
    """

    flops_per_clip: int
    devices: int
    peak: float | None

    @classmethod
    def of(cls, model: VideoModel, clip_shape: tuple[int, int, int, int], mesh: Mesh) -> "Throughput":
        """The throughput of a model's training steps.

        Args:
          model: a model of `motion_vit.create_model`; its `dtype` decides which peak counts.
          clip_shape: frames, height, width and channels.
          mesh: the devices, all of one kind.

        Returns:
          The throughput.
        """
        kind = mesh.devices.flat[0].device_kind
        return cls(training_flops(model, clip_shape), mesh.size, peak_flops_per_second(kind, model.dtype))

    def rates(self, clips_per_second: float) -> dict[str, float]:
        """The rates of a run.

        Args:
          clips_per_second: clips trained on each second, over all processes.

        Returns:
          `clips_per_second`, `clips_per_second_per_device`, `model_tflops_per_second` (1e12 model FLOPs a second),
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
