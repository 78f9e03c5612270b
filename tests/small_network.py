"""A network that compiles in a second, for tests of what happens around the network."""

import jax
from flax import linen as nn

from motion_vit.models.registry import register_model
from motion_vit.models.video_model import Backbone, VideoModel


class SmallNetwork(Backbone):
    """Mean over the frames, 4 x 4 pixels to one, and a layer large enough to split, with BatchNorm and dropout."""

    num_classes: int = 10
    frames: int = 4
    image_size: int = 32

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool = False) -> jax.Array:
        small = nn.avg_pool(clips.mean(axis=1), (4, 4), (4, 4))
        hidden = nn.Dense(128, name="hidden")(small.reshape(clips.shape[0], -1))
        hidden = nn.BatchNorm(use_running_average=not train, name="norm")(hidden)
        hidden = nn.Dropout(0.1, deterministic=not train)(nn.relu(hidden))
        return nn.Dense(self.num_classes, name="head")(hidden)

    def with_frames_split(self, axis: str) -> VideoModel:
        return self  # the compiler finds how


def register_small_network() -> None:
    """Lets recipes name the network `small`."""
    register_model("small", SmallNetwork, description="for tests")
