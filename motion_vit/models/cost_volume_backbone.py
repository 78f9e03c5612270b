"""The options of backbones some of whose attention is a cost volume (EMIM), in one group."""

from typing import Any

from motion_vit.models.option import option
from motion_vit.models.option_ranges import WINDOW, implementation
from motion_vit.models.video_model import Backbone
from motion_vit.modules.emim import Emim, Neighbours
from motion_vit.ops import cost_volume
from motion_vit.ops.cost_volume import MotionInput
from motion_vit.ranges import FRAMES


class CostVolumeBackbone(Backbone):
    """A backbone that may have EMIM, arXiv 2510.18705; which of its attention is one, `cost_volume_stages` says.

    Attributes:
      window: side of the EMIM neighbourhood in tokens, odd.
      motion_branch: whether EMIM has its motion branch (ablation).
      position_bias: whether EMIM has its displacement bias (ablation).
      motion_input: what the motion branch reads: "affinity" or its "softmax" (ablation).
      frame_offset: frames between query and key frame of EMIM: 1, or 2 (ablation).
      neighbours: "next" or "both" neighbouring frames in EMIM (ablation).
      cost_volume_implementation: see `motion_vit.ops.cost_volume.cost_volume_attention`.
    """

    window: int = option(7, takes=WINDOW)
    motion_branch: bool = True
    position_bias: bool = True
    motion_input: MotionInput = "affinity"
    frame_offset: int = option(1, takes=FRAMES)
    neighbours: Neighbours = "next"
    cost_volume_implementation: str | None = option(
        None, effect="implementation", takes=implementation(cost_volume.IMPLEMENTATIONS)
    )


def make_emim(model: CostVolumeBackbone, **layer: Any) -> Emim:
    """Makes an EMIM layer of a backbone's options.

    Args:
      model: a backbone with these options.
      **layer: the other fields of `motion_vit.modules.emim.Emim`.
    """
    return Emim(
        window=model.window,
        motion_branch=model.motion_branch,
        position_bias=model.position_bias,
        motion_input=model.motion_input,
        frame_offset=model.frame_offset,
        neighbours=model.neighbours,
        implementation=model.cost_volume_implementation,
        **layer,
    )
