"""Which frames the cost volumes of a model pair."""

from flax import linen as nn

from motion_vit.errors import UserError
from motion_vit.models.motion_prompted import MotionPrompted

MODELS_WITH_COST_VOLUMES = (
    "models with EMIM, such as uniformer_emim_s, or a TimeSformer with temporal_attention='cost_volume'"
)


def frame_offset(model: nn.Module) -> int:
    """Frames of tokens from the first to the second frame of the pairs of a model's cost volumes.

    Args:
      model: a model of `motion_vit.create_model`.

    Raises:
      UserError: it has no EMIM.
    """
    backbone = model.backbone if isinstance(model, MotionPrompted) else model
    if not hasattr(backbone, "frame_offset"):
        raise UserError(f"the model has no cost volume. There is one in {MODELS_WITH_COST_VOLUMES}.")
    return int(backbone.frame_offset)
