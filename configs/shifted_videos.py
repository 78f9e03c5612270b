"""Three networks on the embedded motion dataset, for corrupted videos: BatchNorm alone, LayerNorm alone, and both.

Commands:           motion-vit render --out build/motions --train 2000 --validation 400
                    motion-vit train --config configs/shifted_videos.py:tsm --workdir runs/tsm
                    motion-vit source-statistics --checkpoint runs/tsm --data build/motions/train.csv --videos 400
                    motion-vit evaluate --checkpoint runs/tsm --data build/motions/validation.csv --corruptions all
                    --adapt norm
Rows:               tsm (a ResNet with temporal shifts, BatchNorm), timesformer (cost volumes as the attention over
                    time, LayerNorm), emim (UniFormer with EMIM, both)
Expected time:      10 to 15 minutes a row on one core beside other work
Expected accuracy:  tsm 86.0 %, timesformer 70.2 %, emim 99.8 % (one seed); of corrupted videos docs/shifted_videos.md
"""

from typing import Any

from ml_collections import ConfigDict

from motion_vit.training.recipe.config import default_config

# Tokens of 8 pixels, so that objects move by a token within a window.
_ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "tsm": ("resnet18_tiny", {"temporal_shift": True, "widths": (32, 48, 64, 96), "depths": (1, 1, 1, 1)}),
    "timesformer": ("timesformer_tiny", {"patch_size": 8, "temporal_attention": "cost_volume"}),
    "emim": ("uniformer_emim_tiny", {"patch_sizes": (4, 2, 1, 2)}),
}


def get_config(row: str = "emim") -> ConfigDict:
    """Returns the recipe of a row.

    Args:
      row: a network.
    """
    if row not in _ROWS:
        raise ValueError(f"the row is {row!r}, but must be one of {', '.join(_ROWS)}")
    config = default_config()
    config.name = row
    config.model.name, options = _ROWS[row]
    config.model.options.update(options)
    config.data.train = "build/motions/train.csv"
    config.data.validation = "build/motions/validation.csv"
    config.data.frames = 8
    config.data.size = 48
    config.data.sampling = "dense"
    config.data.stride = 2
    config.augmentation.crop_scale = (1.0, 1.0)
    config.augmentation.crop_ratio = (1.0, 1.0)
    config.batch_size = 16
    config.epochs = 8.0  # 1000 steps of 2000 clips
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.warmup_epochs = 1.0
    config.optimizer.warmup_start = 4e-4
    config.loss.label_smoothing = 0.0
    if row != "tsm":
        config.loss.correspondence.photometric = 6.0  # tokens learn motion sooner
    config.evaluation.batch_size = 50
    config.evaluation.every_epochs = 8.0  # at the end alone
    config.checkpoint.every_steps = 100_000  # likewise
    config.log.every_steps = 50
    return config
