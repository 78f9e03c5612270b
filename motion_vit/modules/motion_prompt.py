"""Video motion prompts: frames weighted by a learned attention to changes.

Source: Chen et al., "Motion meets attention: video motion prompts" (arXiv 2407.03179), and the authors' code,
github.com/q1xiangchen/VMPs.
"""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

from motion_vit.modules.layer_checks import check_choices, check_clips

GreyWeights = Literal["rgb", "bgr"]
"""In which order the weights of ITU-R BT.601 (0.299, 0.587, 0.114) go to red, green and blue: "rgb" is right, "bgr"
what the released code does."""

ChannelOrder = Literal["rgb", "bgr"]

_BT601 = (0.299, 0.587, 0.114)
# Of a fresh layer slope and shift are drawn anew; the authors draw both numbers from a normal distribution.
_INITIAL = nn.initializers.normal(stddev=1.0)
_INITIAL_MEAN = 1e-5


class MotionPrompt(nn.Module):
    """Turns `t + 1` frames of a clip into `t` motion prompts (section 3 of the paper).

    With `D[t] = grey[t + 1] - grey[t]` of pixels in [0, 1], the attention is `A[t] = sigmoid(a * (D[t] - b))`, of slope
    `a = 5 / (0.45 * |tanh m| + 0.1)` and shift `b = 0.6 * tanh n`; `m` and `n` are the only parameters. Prompt `t` is
    `A[t]` times frame `t + 1`.

    In training, where these collections are mutable, it stores the temporal attention variation of each example,
    `regularization * sum((A[t + 1] - A[t]) ** 2) / (h * w * (t - 1))`, as `attention_variation` in `losses`, and the
    `slope` and the `shift` in `summaries`. In `intermediates` it stores `attention_map` `[b, t, h, w]`.

    Attributes:
      mean: mean of red, green and blue that was subtracted from the pixels in [0, 1].
      std: divisor of the pixels after that.
      channel_order: order of red, green and blue in the clips' last axis.
      grey_weights: see `GreyWeights`.
      regularization: weight `lambda` of the temporal attention variation; 0 leaves it out.
    """

    mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    std: tuple[float, float, float] = (0.225, 0.225, 0.225)
    channel_order: ChannelOrder = "rgb"
    grey_weights: GreyWeights = "rgb"
    regularization: float = 0.0

    def __post_init__(self) -> None:
        """Checks the options."""
        check_choices(self, {"channel_order": ChannelOrder, "grey_weights": GreyWeights})
        for name, values in (("mean", self.mean), ("std", self.std)):
            if np.shape(values) != (3,) or not np.isfinite(np.asarray(values, np.float64)).all():
                raise ValueError(f"{name} of MotionPrompt is {values!r}, but must be three numbers: red, green, blue")
        super().__post_init__()

    @nn.compact
    def __call__(self, clips: Float[Array, "b t1 h w 3"]) -> Float[Array, "b t h w 3"]:
        """Makes the prompts, in float32.

        Args:
          clips: normalised clips with one frame more than prompts.

        Raises:
          ValueError: they are no normalised clips, or there are fewer than two frames.
        """
        check_clips(clips)
        if clips.shape[1] < 2:
            raise ValueError(f"expected at least 2 frames, so that they differ, got {clips.shape[1]}")
        slope, shift = slope_and_shift(*(self.param(name, _initial_value) for name in ("m", "n")))
        clips = clips.astype(jnp.float32)
        grey = self._grey(clips)
        attention = attention_of_change(_differences(grey), slope, shift)
        if not self.is_initializing():
            self._store(attention, slope, shift)
        return attention[..., None] * clips[:, 1:]

    def _grey(self, clips: Float[Array, "b t h w 3"]) -> Float[Array, "b t h w"]:
        """Recovers the brightness of the pixels in [0, 1] from normalised clips."""
        weights = _BT601 if self.grey_weights == "rgb" else _BT601[::-1]
        channels = list(zip(weights, self.mean, self.std, strict=True))
        if self.channel_order == "bgr":
            channels.reverse()
        terms = [weight * (clips[..., place] * std + mean) for place, (weight, mean, std) in enumerate(channels)]
        return terms[0] + terms[1] + terms[2]

    def _store(self, attention: Float[Array, "b t h w"], slope: Float[Array, ""], shift: Float[Array, ""]) -> None:
        self.sow("intermediates", "attention_map", attention)
        self.sow("summaries", "slope", slope)
        self.sow("summaries", "shift", shift)
        # A single prompt has nothing to vary from.
        if self.regularization and attention.shape[1] > 1:
            variation = jnp.mean(lax.square(_differences(attention)), axis=(1, 2, 3))
            self.sow("losses", "attention_variation", self.regularization * variation)

    def multiply_adds(self, clips: Float[Array, "b t1 h w 3"]) -> int:
        """Counts the multiply-adds of one call: the grey values, the attention, and its product with the frames."""
        pixels = clips.shape[0] * clips.shape[2] * clips.shape[3]
        return pixels * (3 * clips.shape[1] + 4 * (clips.shape[1] - 1))


def slope_and_shift(m: Float[Array, ""], n: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Computes the slope `a` and the shift `b` of the attention from the two parameters of a motion prompt."""
    return 5.0 / (0.45 * jnp.abs(jnp.tanh(m)) + 0.1), 0.6 * jnp.tanh(n)


def attention_of_change(
    change: Float[Array, "*shape"], slope: Float[Array, ""], shift: Float[Array, ""]
) -> Float[Array, "*shape"]:
    """Computes the attention to changes of grey value; a change of `shift` gets one half."""
    return nn.sigmoid(slope * (change - shift))


def _differences(frames: Float[Array, "b t1 h w"]) -> Float[Array, "b t h w"]:
    """Computes each frame's change to the next."""
    return frames[:, 1:] - frames[:, :-1]


def _initial_value(key: jax.Array) -> Float[Array, ""]:
    return _INITIAL_MEAN + _INITIAL(key, (), jnp.float32)
