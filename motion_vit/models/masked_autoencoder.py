"""Masked autoencoder: a plain transformer encodes a few tubelets of a clip, a small one predicts the others' pixels.

Sources: VideoMAE (arXiv 2203.12602; `modeling_pretrain.py` of MCG-NJU/VideoMAE) and, for decoders that predict a part
of the tubelets, VideoMAE V2 (arXiv 2303.16727; `models/modeling_pretrain.py` of OpenGVLab/VideoMAEv2).
"""

import math

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from motion_vit.errors import UserError
from motion_vit.models.frame_sharding import constrain_frames, splittable_operators
from motion_vit.models.masked_decoder import MaskedDecoder
from motion_vit.models.video_model import VideoModel
from motion_vit.modules.layer_checks import check_clips
from motion_vit.modules.layer_norm import LayerNorm
from motion_vit.ops.place_selection import take_places

ENCODER_PARTS = ("embedding", "blocks")
"""Names of the parameters that a classifier of the same model has, too; the others end with pretraining."""


class MaskedAutoencoder(nn.Module):
    """Predicts the pixels of hidden tubelets from the visible ones, which alone pass the encoder.

    Which are visible is told by numbers of places, as many in each frame, so that shapes do not depend on the mask.

    Attributes:
      embedding: the encoder's, see `motion_vit.models.token_encoder.TokenEncoder`.
      blocks: those of the encoder.
      decoder: predicts from what the encoder makes of visible tubelets; ends with pretraining.
      tubelet: frames, rows and columns of a tubelet in pixels.
      norm_epsilon: what the LayerNorm after the encoder adds to the variance.
      dtype: dtype of the computation; parameters and predictions are float32.
      frame_axis: axis of the mesh that frames of tubelets are split over, or None.
    """

    embedding: nn.Module
    blocks: nn.Module
    decoder: MaskedDecoder
    tubelet: tuple[int, int, int]
    norm_epsilon: float = 1e-6
    dtype: DTypeLike = jnp.float32
    frame_axis: str | None = None

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
          clips: normalised clips.
          visible: places of each frame of tubelets that the encoder sees, counted row by row.
          predicted: places to predict; those that are visible as well are told to the decoder twice.
          train: whether dropout and stochastic depth are active; the RNG `dropout` must then be given where a rate is
            above 0.

        Returns:
          The pixels of each tubelet to predict, in the order of frames, rows, columns and colours.

        Raises:
          ValueError: clips of another rank or of whole numbers.
          UserError: with a `frame_axis`, no mesh that has it, or frames of tubelets that its devices do not divide.
        """
        check_clips(clips)
        with splittable_operators(self.frame_axis):
            encoded, places = self._encode(clips, visible, train)
            prediction: Array = self.decoder(encoded, visible, predicted, places=places, train=train)
            return prediction

    def _encode(
        self, clips: Float[Array, "b t h w 3"], visible: Int[Array, "b t2 shown"], train: bool
    ) -> tuple[Float[Array, "b t2 shown c"], int]:
        """Encodes the visible tubelets; also counts the places of a frame."""
        tokens = self.embedding(clips, train=train)
        batch, frames, height, width, channels = tokens.shape
        shown = take_places(tokens.reshape(batch, frames, height * width, channels), visible)
        if not self.is_initializing():
            shown = constrain_frames(shown, self.frame_axis)
        shown = self.blocks(shown[:, :, :, None], train=train)[:, :, :, 0]
        return LayerNorm(self.norm_epsilon, self.dtype, name="encoder_norm")(shown), height * width


def make_masked_autoencoder(
    model: VideoModel, *, decoder_depth: int = 4, decoder_width: int = 0, decoder_heads: int = 0
) -> MaskedAutoencoder:
    """Makes the autoencoder whose encoder is that of a model.

    Args:
      model: a plain transformer, such as VideoMAE's.
      decoder_depth: blocks of the decoder.
      decoder_width: channels of its tokens; 0 for half of the encoder's.
      decoder_heads: its attention heads, which divide the width; 0 for half of the encoder's.

    Returns:
      The autoencoder. Its encoder's parameters have the paths of the model's.

    Raises:
      UserError: the model is no plain transformer, its tubelets do not fill a clip, or the decoder's heads do not
        divide its width.
    """
    encoder = model.token_encoder()
    frames, rows, columns = encoder.tubelet
    if model.image_size % rows or model.image_size % columns or model.frames % frames:
        raise UserError(
            f"masked autoencoding predicts every pixel, but tubelets of {frames} x {rows} x {columns} pixels do not "
            f"fill clips of {model.frames} frames of {model.image_size} x {model.image_size}. Choose multiples."
        )
    width = decoder_width or encoder.width // 2
    heads = decoder_heads or max(encoder.heads // 2, 1)
    if width % heads:
        raise UserError(
            f"the decoder has {heads} attention heads, which do not divide its width, {width}. Set "
            "pretraining.decoder_width and pretraining.decoder_heads."
        )
    decoder = MaskedDecoder(
        blocks=encoder.make_blocks(width, decoder_depth, heads),
        width=width,
        outputs=3 * math.prod(encoder.tubelet),
        kernel_init=encoder.kernel_init,
        norm_epsilon=encoder.norm_epsilon,
        dtype=encoder.dtype,
        parent=None,
    )
    return MaskedAutoencoder(
        embedding=encoder.embedding,
        blocks=encoder.blocks,
        decoder=decoder,
        tubelet=encoder.tubelet,
        norm_epsilon=encoder.norm_epsilon,
        dtype=encoder.dtype,
        frame_axis=encoder.frame_axis,
    )
