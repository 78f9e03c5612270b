"""A network that predicts hidden parts of clips which are filled, so that it may have convolutions and windows.

Source: SimMIM (arXiv 2111.09886, sections 3.2 and 3.3; `models/simmim.py` of microsoft/SimMIM), which puts one learnt
vector in the place of hidden patches, and predicts their pixels by one linear layer from the last features.

For clips one thing is other. SimMIM fills embedded patches. UniFormer's first convolution sees the frames before and
after, so that an embedded patch tells of hidden pixels where a mask changes from frame to frame. Here the pixels are
filled, by learnt ones, before any layer.
"""

import math

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from motion_vit.errors import UserError
from motion_vit.models.feature_encoder import FeatureEncoder
from motion_vit.models.frame_sharding import constrain_frames, splittable_operators
from motion_vit.models.video_model import VideoModel
from motion_vit.modules.layer_checks import check_clips
from motion_vit.modules.linear import Linear
from motion_vit.ops.place_selection import places_mask, take_places
from motion_vit.ops.tubelets import Size

mask_token_start = nn.initializers.normal(stddev=0.02)
"""As SimMIM's, whose `trunc_normal_` cuts a hundred deviations off."""


class FillingNetwork(nn.Module):
    """Predicts the pixels of tubelets of clips whose hidden ones are filled.

    It is called as `motion_vit.models.masked_autoencoder.MaskedAutoencoder` is. The parameter `mask_token` `[frames,
    rows, columns, 3]` has the normalised pixels that stand for a hidden tubelet. It and the last layer end with
    pretraining.

    Attributes:
      encoder: makes the last features; its layers lie in this module.
    """

    encoder: FeatureEncoder

    @property
    def tubelet(self) -> Size:
        """Frames, rows and columns of a tubelet in pixels."""
        return self.encoder.tubelet

    @nn.compact
    def __call__(
        self,
        clips: Float[Array, "b t h w 3"],
        visible: Int[Array, "b t2 shown"],
        predicted: Int[Array, "b t2 n"],
        *,
        train: bool = False,
    ) -> Float[Array, "b t2 n outputs"]:
        """Predicts tubelets.

        Args:
          clips: normalised clips of a whole number of tubelets.
          visible: places of each frame of tubelets that are seen, counted row by row; all others are filled.
          predicted: places to predict.
          train: whether BatchNorm uses the statistics of this batch, and dropout and stochastic depth are active. The
            collection `batch_stats` must then be mutable, and the RNG `dropout` given where a rate is above 0.

        Returns:
          The pixels of each tubelet to predict, in the order of frames, rows, columns and colours, in float32.

        Raises:
          ValueError: clips of another rank, of whole numbers, or that the encoder cannot take.
          UserError: with a `frame_axis`, no mesh that has it, or frames that its devices do not divide.
        """
        check_clips(clips)
        rows, columns = clips.shape[2] // self.tubelet[1], clips.shape[3] // self.tubelet[2]
        mask_token = self.param("mask_token", mask_token_start, (*self.tubelet, 3))
        hidden = ~places_mask(visible, rows * columns)
        filled = fill_tubelets(clips, hidden.reshape(*hidden.shape[:2], rows, columns), mask_token)
        with splittable_operators(self.encoder.frame_axis):
            features = self.encoder.encode(self, filled, train=train)
            batch, frames, _, _, channels = features.shape
            chosen = take_places(features.reshape(batch, frames, rows * columns, channels), predicted)
            if not self.is_initializing():
                chosen = constrain_frames(chosen, self.encoder.frame_axis)
            outputs, dtype = 3 * math.prod(self.tubelet), self.encoder.dtype
            return Linear(outputs, self.encoder.kernel_init, dtype, name="pixel_head")(chosen).astype(jnp.float32)


def fill_tubelets(
    clips: Float[Array, "b t h w c"], hidden: Bool[Array, "b t2 h2 w2"], tubelet: Float[Array, "frames rows columns c"]
) -> Float[Array, "b t h w c"]:
    """Puts one tubelet in the place of all hidden ones.

    Args:
      clips: of a whole number of tubelets.
      hidden: which of them are replaced.
      tubelet: by what.

    Returns:
      The clips, in which nothing is left of hidden pixels.
    """
    batch, grid, (depth, high, wide, channels) = clips.shape[0], hidden.shape[1:], tubelet.shape
    boxes = clips.reshape(batch, grid[0], depth, grid[1], high, grid[2], wide, channels)
    replaced = hidden[:, :, None, :, None, :, None, None]
    filling = tubelet.astype(clips.dtype).reshape(1, 1, depth, 1, high, 1, wide, channels)
    return jnp.where(replaced, filling, boxes).reshape(clips.shape)


def make_filling_network(model: VideoModel) -> FillingNetwork:
    """Makes the network whose encoder is that of a model.

    Args:
      model: one that offers its last features, such as a UniFormer.

    Returns:
      The network. Its encoder's parameters and running statistics have the paths of the model's.

    Raises:
      UserError: the model offers no features, or what its features stand for does not fill a clip.
    """
    encoder = model.feature_encoder()
    frames, rows, columns = encoder.tubelet
    if model.image_size % rows or model.image_size % columns or model.frames % frames:
        raise UserError(
            f"masked filling predicts every pixel, but tubelets of {frames} x {rows} x {columns} pixels, which the "
            f"last features stand for, do not fill clips of {model.frames} frames of {model.image_size} x "
            f"{model.image_size}. Choose multiples."
        )
    return FillingNetwork(encoder)
