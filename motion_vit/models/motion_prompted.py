"""Any backbone behind video motion prompts (arXiv 2407.03179)."""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.models.option import option
from motion_vit.models.option_ranges import PIXEL_MEAN, PIXEL_STD
from motion_vit.models.temporal_encoder import TemporalEncoder
from motion_vit.models.token_layout import TokenLayout
from motion_vit.models.video_model import VideoModel
from motion_vit.modules.motion_prompt import ChannelOrder, GreyWeights, MotionPrompt
from motion_vit.ranges import Number

_PROMPT = "prompt/"


class MotionPrompted(VideoModel):
    """A backbone that sees motion prompts instead of frames. It takes clips with one frame more.

    Its parameters are those of the backbone, under `backbone/`, and two numbers, `prompt/m` and `prompt/n`.

    Attributes:
      backbone: the model behind the prompts.
      prompt_regularization: weight of the temporal attention variation in the loss; the authors' 2.5 on FineGym.
      prompt_grey_weights: "rgb", or "bgr" for what the released code does; see
        `motion_vit.modules.motion_prompt.GreyWeights`.
      pixel_mean: mean of red, green and blue that was taken from the pixels.
      pixel_std: what they were then divided by.
      channel_order: order in which the three lie in the clips' last axis.
    """

    input_adapter: ClassVar[str] = "motion_prompt"
    inner_prefix: ClassVar[str] = "backbone/"
    extra_frames: ClassVar[int] = 1  # prompts are made of the changes between frames

    backbone: VideoModel
    prompt_regularization: float = option(0.0, takes=Number(0, 1_000_000))
    prompt_grey_weights: GreyWeights = "rgb"
    pixel_mean: tuple[float, float, float] = option(
        (0.45, 0.45, 0.45), effect="inputs", recipe_field="data.mean", takes=PIXEL_MEAN
    )
    pixel_std: tuple[float, float, float] = option(
        (0.225, 0.225, 0.225), effect="inputs", recipe_field="data.std", takes=PIXEL_STD
    )
    channel_order: ChannelOrder = option("rgb", effect="inputs", recipe_field="data.channel_order")

    @nn.compact
    def __call__(self, clips: Float[Array, "b t1 h w 3"], train: bool = False) -> Float[Array, "b classes"]:
        """Classifies clips.

        Args:
          clips: normalised clips, with one frame more than the backbone is to see.
          train: as for the backbone. The collections `losses` and `summaries` may then be mutable; see `MotionPrompt`.

        Returns:
          Logits in float32.

        Raises:
          ValueError: clips of another rank, of whole numbers or of fewer than two frames, or what the backbone refuses.
        """
        prompt = MotionPrompt(
            mean=self.pixel_mean,
            std=self.pixel_std,
            channel_order=self.channel_order,
            grey_weights=self.prompt_grey_weights,
            regularization=self.prompt_regularization,
            name="prompt",
        )
        logits: Array = self.backbone(prompt(clips), train=train)
        return logits

    @property
    def num_classes(self) -> int:
        """Classes to tell apart."""
        return int(self.backbone.num_classes)

    @property
    def frames(self) -> int:
        """Frames that the backbone sees."""
        return int(self.backbone.frames)

    @property
    def image_size(self) -> int:
        """Height and width in pixels of the clips it is meant for."""
        return int(self.backbone.image_size)

    @property
    def dtype(self) -> DTypeLike:
        """Dtype of the backbone's computation; prompts are float32."""
        return jnp.dtype(self.backbone.dtype)

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """Frames, height, width and channels of the clips it is meant for."""
        frames, height, width, channels = self.backbone.clip_shape
        return frames + self.extra_frames, height, width, channels

    @property
    def inner(self) -> VideoModel:
        """The model behind the prompts."""
        return self.backbone.inner

    @property
    def classifier(self) -> str:
        """Path of the backbone's classifier."""
        return f"{self.inner_prefix}{self.backbone.classifier}"

    @property
    def frame_offset(self) -> int:
        """Frames of tokens between the frames that the backbone's cost volumes pair."""
        return self.backbone.frame_offset

    def cost_volume_stages(self) -> tuple[str, ...]:
        """Names what of the backbone has cost volumes."""
        return tuple(f"{self.inner_prefix}{name}" for name in self.backbone.cost_volume_stages())

    def layer_patterns(self) -> tuple[str, ...]:
        """Names the backbone's layers; the prompt belongs to the first, if it names any."""
        patterns = tuple(map(self._behind, self.backbone.layer_patterns()))
        return (rf"prompt/.*|{patterns[0]}", *patterns[1:]) if patterns else ()

    def frozen_patterns(self) -> tuple[str, ...]:
        """Names the backbone's parameters that training leaves as they are; the prompt is trained."""
        return tuple(map(self._behind, self.backbone.frozen_patterns()))

    def temporal_encoder(self) -> TemporalEncoder | None:
        """Names the parameters of the backbone's temporal encoder, if it has one."""
        encoder = self.backbone.temporal_encoder()
        return None if encoder is None else encoder.behind(self.inner_prefix)

    def token_layout(self, name: str, clip_shape: tuple[int, ...]) -> TokenLayout:
        """Says where the pixels of the prompts, and the tokens of the backbone, lie."""
        frames, height, width, channels = clip_shape
        prompts = frames - self.extra_frames
        if name.startswith(_PROMPT):
            return TokenLayout(prompts, height, width, 1, 0.5, (height, width), first_frame=self.extra_frames)
        inner = name.removeprefix(self.inner_prefix)
        layout = self.backbone.token_layout(inner, (prompts, height, width, channels))
        return dataclasses.replace(layout, first_frame=self.extra_frames)

    def activation_layer(self) -> str:
        """Names the backbone's layer."""
        return f"{self.inner_prefix}{self.backbone.activation_layer()}"

    def _behind(self, pattern: str) -> str:
        """Turns a pattern of the backbone's parameters into one of the model's."""
        return rf"{self.inner_prefix}({pattern})"
