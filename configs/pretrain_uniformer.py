"""Masked filling of UniFormer-S with EMIM on one's own videos, without labels: what fine-tuning starts from.

Commands:           motion-vit prepare list --source my_videos --out data/my_videos
                    motion-vit pretrain --config configs/pretrain_uniformer.py --workdir runs/pretrained
                    motion-vit visualize VIDEO --checkpoint runs/pretrained --out seen
                    motion-vit train --config my_videos --workdir runs/my_videos
                    --config.initial_weights=runs/pretrained
Expected time:      printed while training. A step costs what one of a classifier does, because nothing is left out: it
                    wants GPUs, and hundreds of epochs.
Expected accuracy:  none, it classifies nothing; the loss of predicting 0 is 1 - 1/1024. Nobody has published masked
                    filling of a UniFormer; a small one gained nothing by it in 2000 steps
                    (docs/learning_from_less.md).
First look:         `--config pretrain_uniformer:tiny`, of which minutes on a CPU show that it works. Fine-tune it by
                    `my_videos:tiny`.

The mask ratio, weight decay and one linear layer as the decoder are SimMIM's (arXiv 2111.09886), which pretrains Swin
Transformers on pictures; tubes are VideoMAE's (arXiv 2203.12602). Nothing was tuned, and the whole recipe was not run.
Change first:

- `data.size`: a multiple of the 32 pixels that a feature stands for. Fine-tuning may take another one.
- `pretraining.mask_ratio`: up to 0.9, as for VideoMAE, where clips have many places.
- `batch_size`: up to what fits in memory, and `optimizer.learning_rate` in proportion to it.
- `epochs`: hundreds, the more the fewer videos there are.
"""

from ml_collections import ConfigDict

from motion_vit.training.recipe.config import default_config


def get_config(scale: str = "full") -> ConfigDict:
    """Returns the recipe.

    Args:
      scale: "full", or "tiny" for a small network on small pictures, which `--config pretrain_uniformer:tiny` takes.
    """
    if scale not in ("full", "tiny"):
        raise ValueError(f"the scale is {scale!r}, but must be full or tiny")
    config = default_config()
    config.name = "pretrain_uniformer"
    config.objective = "masked_filling"
    config.model.name = "uniformer_emim_s"
    config.data.train = "data/my_videos"
    config.data.frames = 16
    config.data.size = 128
    config.data.sampling = "segment"
    config.augmentation.crop_scale = (0.4, 1.0)
    config.pretraining.mask = "tube"
    config.pretraining.mask_ratio = 0.6
    config.batch_size = 32
    config.epochs = 300
    config.optimizer.learning_rate = 4e-4
    config.optimizer.warmup_epochs = 10
    config.optimizer.weight_decay = 0.05
    config.checkpoint.every_steps = 500
    if scale == "tiny":
        config.model.name = "uniformer_emim_tiny"
        config.data.frames = 8
        config.data.size = 96
        config.epochs = 20
        config.optimizer.learning_rate = 1e-3
        config.optimizer.warmup_epochs = 1
    return config
