"""The names of objectives; `motion_vit.training.step.objective_registry` has what each means."""

from typing import Literal

ObjectiveName = Literal["classification", "masked_autoencoding", "masked_filling"]
"""A classifier of labels, or a network that predicts hidden parts of clips, which it does not see, or sees filled."""
