"""Small networks on videos whose backgrounds follow labels, with and without still mixing: what they learn of motion.

Commands:           motion-vit render --out build/looks --appearance-bias 0.95
                    motion-vit train --config configs/static_bias.py:tsn --workdir runs/tsn
                    motion-vit train --config configs/static_bias.py:tsn-batch --workdir runs/tsn-batch
                    motion-vit evaluate --checkpoint runs/tsn --data build/looks/validation.csv --static-bias
All rows, 3 seeds:  python benchmarks/static_bias.py --workdir build/static_bias --seeds 3
Expected time:      two to five minutes a row on a busy core
Expected accuracy:  three seeds in docs/static_bias.md

Rows are a network, tsn, tsm, timesformer, uniformer or emim, alone or with the kind of still frames that are blended
into clips: "tsn-own", "tsn-batch" or "tsn-bank". The bank of the last is made by a network of single frames, the row
"frame":

    motion-vit train --config configs/static_bias.py:frame --workdir runs/frame
    motion-vit frames score build/looks/train.csv --checkpoint runs/frame --size 24 --out build/stills.npz
    motion-vit train --config configs/static_bias.py:tsn-bank --workdir runs/tsn-bank
"""

from ml_collections import ConfigDict

from motion_vit.training.recipe.config import default_config

_RESNET = {"widths": (32, 48, 64, 96), "depths": (1, 1, 1, 1)}
_UNIFORMER = {"widths": (16, 24, 32, 48), "depths": (1, 1, 2, 1), "head_channels": 16, "patch_sizes": (2, 2, 1, 2)}
_NETWORKS = {
    "frame": ("resnet18_tiny", _RESNET),
    "tsn": ("resnet18_tiny", _RESNET),
    "tsm": ("resnet18_tiny", {**_RESNET, "temporal_shift": True}),
    "timesformer": ("timesformer_tiny", {"width": 48, "depth": 3, "heads": 3, "patch_size": 4}),
    "uniformer": ("uniformer_tiny", _UNIFORMER),
    "emim": ("uniformer_emim_tiny", _UNIFORMER),
}
_STILLS = ("own", "batch", "bank")


def get_config(row: str = "tsn") -> ConfigDict:
    """Returns the recipe of a row.

    Args:
      row: a network, or a network and a kind of still frames, such as "tsn-bank".
    """
    network, _, still = row.partition("-")
    if network not in _NETWORKS or (still and still not in _STILLS):
        raise ValueError(
            f"the row is {row!r}, but must be one of {', '.join(_NETWORKS)}, alone or with one of "
            f"{', '.join(_STILLS)} behind a hyphen"
        )
    config = default_config()
    config.name = row
    config.model.name, options = _NETWORKS[network]
    config.model.options.update(options)
    config.data.train = "build/looks/train.csv"
    config.data.validation = "build/looks/validation.csv"
    # Every fifth frame: three of them fit into the shortest video of 16.
    config.data.frames = 1 if network == "frame" else 3
    config.data.size = 24
    config.data.sampling = "dense"
    config.data.stride = 5
    config.augmentation.crop_scale = (1.0, 1.0)
    config.augmentation.crop_ratio = (1.0, 1.0)
    if still:
        config.augmentation.still = still
    if still == "bank":
        config.augmentation.still_bank = "build/stills.npz"
    config.batch_size = 16
    config.epochs = 2.4
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.warmup_epochs = 0.6
    config.optimizer.warmup_start = 1e-4
    config.loss.label_smoothing = 0.0
    config.evaluation.batch_size = 100
    config.evaluation.every_epochs = 100.0  # at the end alone
    config.checkpoint.every_steps = 100_000  # likewise
    config.log.every_steps = 50
    return config
