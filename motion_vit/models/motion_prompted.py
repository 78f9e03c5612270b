"""Any backbone behind video motion prompts (arXiv 2407.03179)."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from motion_vit.models.option_checks import check_clips, outside_choices
from motion_vit.modules.motion_prompt import ChannelOrder, GreyWeights, MotionPrompt

EXTRA_FRAMES = 1
"""Frames of a clip more than the backbone sees: prompts are made of the changes between frames."""


class MotionPrompted(nn.Module):
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

    backbone: nn.Module
    prompt_regularization: float = 0.0
    prompt_grey_weights: GreyWeights = "rgb"
    pixel_mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    pixel_std: tuple[float, float, float] = (0.225, 0.225, 0.225)
    channel_order: ChannelOrder = "rgb"

    def __post_init__(self) -> None:
        """Checks the options, so that a mistake is named before anything is built."""
        if problems := _problems(self):
            raise ValueError("; ".join(problems))
        super().__post_init__()

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
        check_clips(clips)
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
    def dtype(self) -> jnp.dtype:
        """Dtype of the backbone's computation; prompts are float32."""
        return jnp.dtype(self.backbone.dtype)

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """Frames, height, width and channels of the clips it is meant for."""
        frames, height, width, channels = self.backbone.clip_shape
        return frames + EXTRA_FRAMES, height, width, channels

    def cost_volume_stages(self) -> tuple[str, ...]:
        """The names of the backbone's stages that have cost volumes, see `UniFormer.cost_volume_stages`."""
        if not hasattr(self.backbone, "cost_volume_stages"):
            return ()
        return tuple(f"backbone/{name}" for name in self.backbone.cost_volume_stages())

    def layer_patterns(self) -> tuple[str, ...]:
        """The layers from input to output, see `UniFormer.layer_patterns`; the prompt belongs to the first.

        Returns:
          () where the backbone does not say what its layers are.
        """
        if not hasattr(self.backbone, "layer_patterns"):
            return ()
        first, *others = (rf"backbone/({pattern})" for pattern in self.backbone.layer_patterns())
        return (rf"prompt/.*|{first}", *others)

    def frozen_patterns(self) -> tuple[str, ...]:
        """The parameters that training leaves as they are, see `ResNet.frozen_patterns`; the prompt is trained.

        Returns:
          () where the backbone has none.
        """
        if not hasattr(self.backbone, "frozen_patterns"):
            return ()
        return tuple(rf"backbone/({pattern})" for pattern in self.backbone.frozen_patterns())


def _problems(model: MotionPrompted) -> list[str]:
    """What is wrong with a model's options, each as a sentence that says what was expected."""
    problems = outside_choices(model, {"prompt_grey_weights": GreyWeights, "channel_order": ChannelOrder})
    if model.prompt_regularization < 0:
        problems.append(f"prompt_regularization is {model.prompt_regularization}, but must be 0 or more")
    for name in ("pixel_mean", "pixel_std"):
        if len(getattr(model, name)) != 3:
            problems.append(f"{name} is {getattr(model, name)}, but must be three numbers, for red, green and blue")
    if min(model.pixel_std, default=1) <= 0:
        problems.append(f"pixel_std is {model.pixel_std}, but must be above 0: pixels were divided by it")
    return problems
