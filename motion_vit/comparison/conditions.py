"""Conditions under which results are comparable: training clips, held-out clips and views."""

import dataclasses

from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.training.recipe.clips import open_sources


@dataclasses.dataclass(frozen=True)
class Conditions:
    """The data and the evaluation of a run.

    Attributes:
      training_data: fingerprint of the training clips.
      validation_data: fingerprint of the held-out clips.
      clips: clips of each held-out video.
      crops: crops of each clip.
      averaged: whether averages of the parameters are evaluated.
    """

    training_data: str
    validation_data: str
    clips: int
    crops: int
    averaged: bool

    @classmethod
    def of(cls, config: ConfigDict) -> "Conditions":
        """Reads the conditions from a recipe.

        Args:
          config: names the data and the evaluation.

        Returns:
          The conditions.

        Raises:
          UserError: the data cannot be used, or the recipe names no held-out videos.
        """
        training, validation = open_sources(config)
        if validation is None:
            raise UserError(
                "config field data.validation is '', but a comparison measures on held-out videos. Name a prepared "
                "folder, FOLDER:SPLIT or a list file, such as --config.data.validation=val.csv."
            )
        settings = config.evaluation
        return cls(training.fingerprint, validation.fingerprint, settings.clips, settings.crops, settings.ema)
