"""A run that has trained no classifier: its network, and what fine-tuning takes of it."""

import dataclasses
import pathlib
from typing import Any

from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.models.video_model import VideoModel


@dataclasses.dataclass(frozen=True, eq=False)
class PretrainedRun:
    """The weights of a run with another objective than classification.

    Attributes:
      model: the recipe's model, of which the network has the encoder alone.
      variables: parameters of the network, such as a masked autoencoder's, or their averages.
      label_names: classes of the videos, which had no part in it.
      config: the recipe.
      step: training steps behind it.
      averaged: whether the parameters are averages over the steps (the recipe's `ema`).
    """

    model: VideoModel
    variables: dict[str, Any]
    label_names: tuple[str, ...]
    config: ConfigDict
    step: int
    averaged: bool = False


def classifies_nothing(folder: pathlib.Path) -> UserError:
    """Makes the error of who takes a pretrained run for a classifier.

    Args:
      folder: workdir of the run.
    """
    return UserError(
        f"the run in {folder} was pretrained and classifies nothing yet. Fine-tune it: motion-vit train --config "
        f"RECIPE --workdir DIR --config.initial_weights={folder}. `motion-vit visualize VIDEO --checkpoint {folder} "
        "--out DIR` draws what it predicts."
    )
