"""The contract of a model: what training, evaluation, drawing and export ask of it, and what they do without an answer.

A new backbone derives from `Backbone` and defines `__call__`. Whatever else it can do, such as losing frames to several
devices or showing where its tokens lie, it says by overriding a method; the others keep their defaults. No part of the
library asks what class a model is of.
"""

from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.errors import UserError
from motion_vit.models.feature_encoder import FeatureEncoder
from motion_vit.models.frame_encoder import FrameEncoder
from motion_vit.models.option import option, option_ranges
from motion_vit.models.option_ranges import ComputationDtype
from motion_vit.models.temporal_encoder import TemporalEncoder
from motion_vit.models.token_encoder import TokenEncoder
from motion_vit.models.token_layout import TokenLayout
from motion_vit.ranges import CLASSES, FRAMES, IMAGE_SIDE, problems


class VideoModel(nn.Module):
    """Whatever classifies clips: a backbone, or an input adapter before one.

    Attributes:
      input_adapter: the value of the option `input_adapter` that makes such a model; "none" for a backbone.
      inner_prefix: what the names of the inner model's parameters and intermediates start with; "" for a backbone.
      extra_frames: frames of a clip more than the inner model sees.
    """

    input_adapter: ClassVar[str] = "none"
    inner_prefix: ClassVar[str] = ""
    extra_frames: ClassVar[int] = 0

    def __post_init__(self) -> None:
        """Checks the options, so that a mistake is named before anything is built.

        Raises:
          ValueError: an option is not in its range, or they do not go with each other.
        """
        super().__post_init__()
        ranges = option_ranges(self)
        # What goes with what is asked only of values that are in their ranges.
        found = problems({name: getattr(self, name) for name in ranges}, ranges) or self.option_problems()
        if found:
            raise ValueError("; ".join(found))

    def __call__(self, clips: Float[Array, "b t h w 3"], train: bool = False) -> Float[Array, "b classes"]:
        """Classifies clips; every model defines it.

        Parameters are read by `self.param`, which gathers those that are split over devices
        (`motion_vit.training.step.split_parameters`).

        Args:
          clips: normalised clips.
          train: whether layers behave as in training. The collection `batch_stats` must then be mutable, and the RNG
            `dropout` given where something is dropped.

        Returns:
          Logits in float32. Intermediates go through `motion_vit.models.intermediates.name_output`.

        Raises:
          ValueError: clips that the model cannot take; see `motion_vit.modules.layer_checks.check_clips`.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no __call__(clips, train=False)")

    @property
    def num_classes(self) -> int:
        """Classes to tell apart; every model has it, `Backbone` as an option."""
        raise NotImplementedError

    @property
    def frames(self) -> int:
        """Frames that the inner model sees of a clip; every model has it, `Backbone` as an option."""
        raise NotImplementedError

    @property
    def image_size(self) -> int:
        """Height and width in pixels of its clips; every model has it, `Backbone` as an option."""
        raise NotImplementedError

    @property
    def dtype(self) -> DTypeLike:
        """Dtype of the computation; every model has it, `Backbone` as an option."""
        raise NotImplementedError

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """Frames, height, width and channels of the clips it is meant for."""
        return self.frames + self.extra_frames, self.image_size, self.image_size, 3

    @property
    def inner(self) -> "VideoModel":
        """The backbone: the model itself, or the one behind an input adapter."""
        return self

    @property
    def classifier(self) -> str:
        """Path of the linear layer that makes the logits, whose `kernel` is `[features, classes]`; parts joined by "/".

        Fine-tuning starts it anew for other classes, class activation maps read it.
        """
        return "head"

    @property
    def frame_offset(self) -> int:
        """Frames of tokens from the first to the second frame of the pairs of its cost volumes.

        Of no meaning where `cost_volume_stages` names none.
        """
        return 1

    def option_problems(self) -> list[str]:
        """Finds which options do not go with each other; each of them is in its range, see `option`.

        Returns:
          For each mistake a sentence that says what was given and what was expected; [] by default.
        """
        return []

    def layer_patterns(self) -> tuple[str, ...]:
        """Names the layers from input to output, for learning rates that decay from layer to layer.

        Returns:
          For each layer a regular expression that matches the paths of its parameters as a whole, parts joined by "/".
          By default (), with which a recipe cannot set `optimizer.layer_decay`.
        """
        return ()

    def frozen_patterns(self) -> tuple[str, ...]:
        """Names the parameters that training leaves as they are.

        Returns:
          Regular expressions, each of which matches the paths of some parameters as a whole, as in `layer_patterns`;
          () by default.
        """
        return ()

    def cost_volume_stages(self) -> tuple[str, ...]:
        """Names what has cost volumes, whose motion can be drawn and taught by losses.

        Returns:
          What the names of their intermediates start with; () by default.
        """
        return ()

    def token_layout(self, name: str, clip_shape: tuple[int, ...]) -> TokenLayout:
        """Says where in a clip the tokens of an intermediate lie, which is what drawing needs.

        Args:
          name: a name of `motion_vit.models.intermediates`; those that start with a block are of the block's tokens.
          clip_shape: frames, height, width and channels of the clips.

        Returns:
          The layout.

        Raises:
          UserError: the intermediate has no place, or the model does not say where its tokens lie.
        """
        raise UserError(
            f"where the tokens of a {type(self).__name__} lie is not known. Define its method token_layout; see "
            "motion_vit.models.video_model.VideoModel."
        )

    def activation_layer(self) -> str:
        """Names the intermediate whose average the classifier reads, which class activation maps are made of.

        Returns:
          A name of `motion_vit.models.intermediates`.

        Raises:
          UserError: there is none.
        """
        raise UserError(
            f"a {type(self).__name__} has no class activation map: it names no layer whose average over patches the "
            "classifier reads. Ask for Grad-CAM of one of its blocks, or define its method activation_layer"
        )

    def token_encoder(self) -> TokenEncoder:
        """Gives the parts of a plain transformer, which masked autoencoding pretrains.

        Returns:
          Parts whose parameters have the paths of the model's own.

        Raises:
          UserError: the model is none, or some of its layers need all tokens of a clip.
        """
        raise UserError(
            f"a {type(self).__name__} cannot be pretrained by masked autoencoding: its layers need all tokens of a "
            "clip. Plain transformers can do without most: videomae_s, videomae_b, videomae_l. A UniFormer learns from "
            'clips whose hidden parts are filled: set the config field objective to "masked_filling".'
        )

    def feature_encoder(self) -> FeatureEncoder:
        """Gives what makes the last features on their grid, which masked filling pretrains.

        Returns:
          All of the model but its head; parameters and running statistics have the paths of the model's own.

        Raises:
          UserError: the model does not offer them.
        """
        raise UserError(
            f"a {type(self).__name__} cannot be pretrained by masked filling: it does not offer its last features on "
            "their grid. UniFormers do, such as uniformer_emim_s. Plain transformers, such as videomae_b, are "
            'pretrained with the config field objective set to "masked_autoencoding"; a class of your own defines '
            "the method feature_encoder."
        )

    def frame_encoder(self) -> FrameEncoder:
        """Describes the part that encodes frames one by one, whose tokens `motion-vit features` keeps.

        Returns:
          What is known of it.

        Raises:
          UserError: the model has none.
        """
        raise UserError(
            f"a {type(self).__name__} has no encoder of single frames, whose tokens could be kept: its layers join "
            "frames, or all of it is trained. A ViViT with attention='factorised_encoder' has one."
        )

    def temporal_encoder(self) -> TemporalEncoder | None:
        """Names the parameters of a temporal encoder, which can start from other weights than the rest.

        Returns:
          Its parts; None by default, of a model that has none behind an encoder of frames.
        """
        return None

    def with_frames_split(self, axis: str) -> "VideoModel":
        """Makes the model split the frames of its activations over devices.

        Args:
          axis: an axis of the mesh.

        Returns:
          A model of the same parameters, to be run under `jax.set_mesh`.

        Raises:
          UserError: the model cannot split frames.
        """
        raise UserError(
            f"{type(self).__name__} cannot split frames over devices. Set the config field mesh.frames to 1."
        )


class Backbone(VideoModel):
    """A model whose fields are options: all that is registered by name derives from it.

    Attributes:
      num_classes: classes to tell apart.
      frames: frames of the clips it is meant for.
      image_size: height and width in pixels of the clips it is meant for.
      dtype: dtype of the computation (float32, bfloat16 or float16); parameters, statistics and logits are float32.
    """

    num_classes: int = option(400, effect="classes", takes=CLASSES)
    frames: int = option(8, recipe_field="data.frames", takes=FRAMES)
    image_size: int = option(224, recipe_field="data.size", takes=IMAGE_SIDE)
    dtype: DTypeLike = option(jnp.float32, effect="precision", takes=ComputationDtype())
