"""Gestures of EgoGestAR with 30 % of the labels: EMIM from random weights, and after learning motion without labels.

Data:               those of configs/egogestar.py
Commands:           motion-vit train --config configs/egogestar_fewer_labels.py --workdir build/gestures/photometric
                    motion-vit transfer --config configs/egogestar_fewer_labels.py --data data/egogestar --shots 30%
                    --splits 3 --workdir build/gestures/transfer
                    The first learns from all 125 training clips, whose labels it does not use: `get_config`. The
                    second trains the two recipes of `get_configs` on three drawn subsets of 39 clips.
Expected time:      10 minutes of one core, and 57 for the six runs, beside other work
Expected accuracy:  from random weights 18.8 ± 5.9 %, from photometric 33.3 ± 9.2 % of 39 clips of another camera
"""

from ml_collections import ConfigDict
from motion_vit.recipes import egogestar


def get_config() -> ConfigDict:
    """Returns the recipe that learns without labels, by the photometric loss of cost volumes alone."""
    config = _config("photometric", epochs=25.6)  # 384 steps of 125 clips
    config.loss.classification = 0.0
    config.loss.correspondence.photometric = 6.0
    config.data.validation = ""
    return config


def get_configs() -> dict[str, ConfigDict]:
    """Returns the recipes that learn from few labels."""
    names = "from_random_weights", "from_photometric"
    configs = {name: _config(name, epochs=50.5) for name in names}  # 202 steps of 39 clips
    configs["from_photometric"].initial_weights = "build/gestures/photometric"
    return configs


def _config(name: str, *, epochs: float) -> ConfigDict:
    config = egogestar.get_config("emim")
    config.name = name
    config.epochs = epochs
    config.optimizer.warmup_epochs = epochs / 10
    config.evaluation.every_epochs = epochs  # at the end alone
    return config
