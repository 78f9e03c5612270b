"""Small networks on few labels of the embedded motion dataset: pretrained, frozen, or with videos that have no labels.

Commands:           motion-vit render --out build/motions --train 2000 --validation 400
                    motion-vit data subset build/motions/train.csv --share 0.1 --out build/motions/few.csv
                    motion-vit train --config configs/fewer_labels.py:pretrain-photometric --workdir runs/photometric
                    motion-vit train --config configs/fewer_labels.py:emim --workdir runs/emim
                    --config.data.train=build/motions/few.csv --config.initial_weights=runs/photometric
All of it, 3 seeds: python benchmarks/fewer_labels.py --workdir build/fewer_labels --seeds 3
Expected time:      docs/learning_from_less.md
Expected accuracy:  docs/learning_from_less.md

Rows are

- networks that labels train: `emim`, `videomae`, `vivit`;
- networks that learn without labels: `pretrain-filling` and `pretrain-photometric` for `emim`, `pretrain-tube` and
  `pretrain-motion` for `videomae`. But for `pretrain-photometric`, `motion-vit pretrain` trains them;
- `image`, which tells the textures of single frames apart, and on its frozen encoder `frozen-none`,
  `frozen-bottleneck`, `frozen-attention` and `frozen-emim`;
- `emim-fixmatch` and `emim-adaptive`, which also learn from videos without labels.
"""

from typing import Any

from ml_collections import ConfigDict

from motion_vit.training.recipe.config import default_config

_EMIM = {"widths": (16, 24, 32, 48), "depths": (1, 1, 2, 1), "head_channels": 16, "patch_sizes": (2, 2, 1, 2)}
_VIDEOMAE = {"width": 48, "depth": 3, "heads": 3, "patch_size": 4}
_VIVIT = {"attention": "factorised_encoder", "tubelet_frames": 1, "temporal_depth": 2, **_VIDEOMAE}
_NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "emim": ("uniformer_emim_tiny", _EMIM),
    "videomae": ("videomae_tiny", _VIDEOMAE),
    "vivit": ("vivit_tiny", _VIVIT),
    "pretrain-filling": ("uniformer_emim_tiny", _EMIM),
    "pretrain-photometric": ("uniformer_emim_tiny", _EMIM),
    "pretrain-tube": ("videomae_tiny", _VIDEOMAE),
    "pretrain-motion": ("videomae_tiny", _VIDEOMAE),
    "image": ("vivit_tiny", _VIVIT),
    **{
        f"frozen-{adapter}": ("vivit_tiny", {**_VIVIT, "frozen": "spatial", "adapter": adapter})
        for adapter in ("none", "bottleneck", "attention", "emim")
    },
    "emim-fixmatch": ("uniformer_emim_tiny", _EMIM),
    # Adaptive weights compare passes with dropout.
    "emim-adaptive": ("uniformer_emim_tiny", {**_EMIM, "dropout": 0.3}),
}


def get_config(row: str = "emim") -> ConfigDict:
    """Returns the recipe of a row.

    Args:
      row: a network, or what it learns without labels.
    """
    if row not in _NETWORKS:
        raise ValueError(f"the row is {row!r}, but must be one of {', '.join(_NETWORKS)}")
    config = default_config()
    config.name = row
    config.model.name, options = _NETWORKS[row]
    config.model.options.update(options)
    config.data.train = "build/motions/train.csv"
    # Every fifth frame: four of them fit into the shortest video of 16.
    config.data.frames = 1 if row == "image" else 4
    config.data.size = 24
    config.data.sampling = "dense"
    config.data.stride = 5
    config.augmentation.crop_scale = (1.0, 1.0)
    config.augmentation.crop_ratio = (1.0, 1.0)
    config.batch_size = 16
    config.epochs = 48.0  # 600 steps of the 200 clips of a tenth
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.warmup_epochs = 5.0
    config.optimizer.warmup_start = 1e-4
    config.loss.label_smoothing = 0.0
    config.checkpoint.every_steps = 100_000  # at the end alone
    config.log.every_steps = 50
    if row.startswith("pretrain-"):
        _pretrain(config, row.removeprefix("pretrain-"))
        return config
    config.data.validation = "build/motions/validation.csv"
    config.evaluation.batch_size = 100
    config.evaluation.every_epochs = 10_000.0  # at the end alone
    if row in ("emim-fixmatch", "emim-adaptive"):
        config.unlabelled.data = "build/motions/train.csv"
        config.unlabelled.method = row.removeprefix("emim-")
        config.unlabelled.passes = 4
        config.unlabelled.labels_known = True
        config.unlabelled.mix_patch = 8
        config.unlabelled.rand_augment = "rand-m3-n1-mstd0.5-inc1"
        config.ema = ((".*", 0.99),)
        config.evaluation.ema = True
    return config


def _pretrain(config: ConfigDict, what: str) -> None:
    """Sets what is learned without labels."""
    config.epochs = 16.0  # 2000 steps of all 2000 clips
    config.optimizer.warmup_epochs = 1.0
    if what == "photometric":
        config.loss.classification = 0.0
        config.loss.correspondence.photometric = 6.0
        return
    config.objective = "masked_filling" if what == "filling" else "masked_autoencoding"
    config.pretraining.mask = "tube" if what == "filling" else what
    config.pretraining.mask_ratio = 0.6 if what == "filling" else 0.75
    if what != "filling":
        config.pretraining.decoder_depth = 1
