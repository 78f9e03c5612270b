"""The distance of the frames that the cost volumes of a model pair."""

from motion_vit.errors import UserError
from motion_vit.models.video_model import VideoModel

MODELS_WITH_COST_VOLUMES = (
    "models with EMIM, such as uniformer_emim_s, a VideoMAE or Video Swin with placement='lg', or a TimeSformer with "
    "temporal_attention='cost_volume'"
)


def frame_offset(model: VideoModel) -> int:
    """Frames of tokens from the first to the second frame of the pairs of a model's cost volumes.

    Args:
      model: a model of `motion_vit.create_model`.

    Raises:
      UserError: it has no cost volumes.
    """
    if not model.cost_volume_stages():
        raise UserError(f"the model has no cost volume. There is one in {MODELS_WITH_COST_VOLUMES}.")
    return int(model.frame_offset)
