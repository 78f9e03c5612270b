"""A trained model: a network, its weights, and what one must know to use them."""

import types
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from ml_collections import ConfigDict

from motion_vit.models.video_model import VideoModel

Which = Literal["last", "best"]
"""The last checkpoint of a run, or the one of best validation accuracy."""


class TrainedModel(NamedTuple):
    """A model with its weights, read for inference. `motion_vit.training.checkpoints.load_trained` reads one.

    Attributes:
      model: the model.
      variables: its parameters, or their averages, and running statistics.
      label_names: the name of each class, in the order of the logits.
      config: the recipe that it was trained with; `clip_options` and `normalization` of it make the model's inputs.
      step: training steps behind it.
      averaged: whether the parameters are averages over the steps (the recipe's `ema`).
      evaluation: the accuracy that was last reported for these weights (`top1`, `top5` and, where known, `videos`,
        `data`, `clips`, `crops`); {} if none was.
    """

    model: VideoModel
    variables: dict[str, Any]
    label_names: tuple[str, ...]
    config: ConfigDict
    step: int
    averaged: bool = False
    evaluation: Mapping[str, Any] = types.MappingProxyType({})
