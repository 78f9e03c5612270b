"""Models whose clips lie split over devices by their frames."""

from jax.sharding import Mesh

from motion_vit.models.video_model import VideoModel


def splitting_frames(model: VideoModel, mesh: Mesh) -> VideoModel:
    """Returns a model as it runs on a mesh: one that keeps frames where they are, if they are split.

    Args:
      model: a model of `motion_vit.create_model`.
      mesh: the devices.

    Returns:
      A model of the same parameters.

    Raises:
      UserError: frames are to be split and the model cannot.
    """
    return model if mesh.shape["frames"] == 1 else model.with_frames_split("frames")
