"""Ablation of the demo's fast start: initialisation, optimizer and photometric loss, added one after the other.

Command:            motion-vit compare --config start_of_training --workdir build/start_of_training
Data:               the embedded dataset, which the command renders: 10 classes that differ in motion alone.
Expected time:      12 minutes with --jobs 2 on two CPU cores
Expected accuracy:  10.8, 82.0, 96.5 and 98.2 % top-1 on 600 held-out videos (one seed)
"""

from ml_collections import ConfigDict
from motion_vit.recipes import demo


def get_configs() -> dict[str, ConfigDict]:
    """Returns the recipe of each row; the last one is the demo's, on more videos."""
    return {
        "published-adamw": _config("published", "adamw", photometric=0.0),
        "fan_in-adamw": _config("fan_in", "adamw", photometric=0.0),
        "fan_in-muon": _config("fan_in", "muon", photometric=0.0),
        "fan_in-muon-photometric": _config("fan_in", "muon", photometric=6.0),
    }


def _config(initialization: str, optimizer: str, photometric: float) -> ConfigDict:
    config = demo.get_config()
    config.name = "start_of_training"
    config.model.options.initialization = initialization
    config.optimizer.name = optimizer
    config.loss.correspondence.photometric = photometric
    config.data.train = config.data.validation = ""  # the command renders them
    # As many steps as the demo's, of the 8000 videos that the command renders.
    config.epochs = 1.25
    config.optimizer.warmup_epochs = 0.3
    config.evaluation.every_epochs = 100.0  # at the end alone
    config.checkpoint.every_steps = 100_000  # likewise
    config.log.every_steps = 25
    return config
