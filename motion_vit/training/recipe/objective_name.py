"""The names of objectives; `motion_vit.training.step.objective_registry` has what each means."""

from typing import Literal

ObjectiveName = Literal["classification", "masked_autoencoding"]
"""A classifier of labels, or a transformer that predicts hidden parts of clips."""
