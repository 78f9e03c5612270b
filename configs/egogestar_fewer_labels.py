"""Gestures of EgoGestAR with 30 % of the labels: networks from random weights, and after learning without labels.

Data:               those of configs/egogestar.py
Commands:           motion-vit transfer --config configs/egogestar_fewer_labels.py --data data/egogestar --shots 30%
                    --splits 3 --workdir build/gestures/transfer
                    It trains each recipe on three drawn subsets of 39 clips. Three of them start from what
                    configs/egogestar_pretraining.py makes.
Other shares:       `CLIPS` is the number of clips with labels, 10 for `--shots 10%` and 125 for `--shots all`. The
                    steps remain about 202.
Expected time:      4 to 15 minutes of one core for a run of EMIM, 2 to 6 for one of VideoMAE, beside other work
Expected accuracy:  of 39 clips of another camera, emim 18.8 ± 5.9 %, from photometric 33.3 ± 9.2 %; videomae
                    13.7 ± 5.3 %, from tube 12.0 ± 1.5 %, from motion 12.0 ± 3.0 %, where chance is 10 %
"""

from ml_collections import ConfigDict
from motion_vit.recipes import egogestar

CLIPS = 39
_STARTS = {"emim": ("", "photometric"), "videomae": ("", "tube", "motion")}


def get_configs() -> dict[str, ConfigDict]:
    """Returns the recipe of each network from each of its first weights."""
    configs = {}
    for network, starts in _STARTS.items():
        for start in starts:
            name = network + (f"-from-{start}" if start else "")
            configs[name] = recipe(network, name, steps=202, clips=CLIPS)
            if start:
                configs[name].initial_weights = f"build/gestures/{start}"
    return configs


def recipe(network: str, name: str, *, steps: int, clips: int) -> ConfigDict:
    """Returns the recipe of a network for a number of steps.

    Args:
      network: `emim` or `videomae`.
      name: of the recipe.
      steps: in all.
      clips: that it learns from.
    """
    config = egogestar.get_config("emim")
    config.name = name
    if network == "videomae":
        config.model.name = "videomae_tiny"
        config.model.options = {"patch_size": 8, "depth": 3}
    config.epochs = steps / (clips // config.batch_size)
    config.optimizer.warmup_epochs = config.epochs / 10
    config.evaluation.every_epochs = config.epochs  # at the end alone
    return config
