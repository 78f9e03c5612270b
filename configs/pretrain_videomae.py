"""Masked autoencoding of VideoMAE-B on one's own videos, without labels: what fine-tuning starts from.

Commands:           motion-vit prepare list --source my_videos --out data/my_videos
                    motion-vit pretrain --config configs/pretrain_videomae.py --workdir runs/pretrained
                    motion-vit visualize VIDEO --checkpoint runs/pretrained --out seen
                    motion-vit train --config my_videos_videomae --workdir runs/my_videos
                    --config.initial_weights=runs/pretrained
Expected time:      printed while training; 35 GMACs a clip forward with the decoder, a fifth of fine-tuning. The
                    authors train 800 to 2400 epochs: it wants many GPUs.
Expected accuracy:  none, it classifies nothing; the loss starts near 1, where predicting 0 is. Of nothing here a
                    published number is reproduced; fine-tuned on their own data the authors report 70.8 % on
                    Something-Something V2 (2400 epochs) and 81.5 % on Kinetics-400 (1600 epochs).
First look:         `--config pretrain_videomae:tiny`, a network and clips of which minutes on a CPU show that it works.

Settings are those of the authors' scripts (scripts/ssv2 of MCG-NJU/VideoMAE, arXiv 2203.12602), whose learning rate is
1.5e-4 for 256 clips, here for the 32 of a step. The whole recipe was not run. Change first:

- `data.sampling`: "segment" takes frames from the whole of short videos; the authors take every second frame
  (Something-Something) or every fourth ("dense", `data.stride`, Kinetics) from a random place.
- `batch_size`: up to what fits in memory, and `optimizer.learning_rate` in proportion to it.
- `pretraining.mask_ratio`: 0.75 for few videos, as the authors have it on UCF101.
- `pretraining.decoder_mask`: 0.5 for half of the decoder's work, as in VideoMAE V2.
- `epochs`: hundreds, the more the fewer videos there are.
"""

from ml_collections import ConfigDict

from motion_vit.training.recipe.config import default_config


def get_config(scale: str = "full") -> ConfigDict:
    """Returns the recipe.

    Args:
      scale: "full", or "tiny" for a small network on small pictures, which `--config pretrain_videomae:tiny` takes.
    """
    if scale not in ("full", "tiny"):
        raise ValueError(f"the scale is {scale!r}, but must be full or tiny")
    config = default_config()
    config.name = "pretrain_videomae"
    config.objective = "masked_autoencoding"
    config.model.name = "videomae_b"
    config.data.train = "data/my_videos"
    config.data.frames = 16
    config.data.size = 224
    config.data.sampling = "dense"
    config.data.stride = 2
    config.data.mean = (0.485, 0.456, 0.406)
    config.data.std = (0.229, 0.224, 0.225)
    config.augmentation.crop = "multi_scale"
    config.augmentation.crop_sizes = (1.0, 0.875, 0.75, 0.66)
    config.pretraining.mask = "tube"
    config.pretraining.mask_ratio = 0.9
    config.pretraining.decoder_depth = 4
    config.batch_size = 32
    config.epochs = 800
    config.remat = "matmuls"
    config.optimizer.learning_rate = 1.5e-4 * 32 / 256
    config.optimizer.warmup_epochs = 40
    config.optimizer.warmup_start = 1e-6
    config.optimizer.final_learning_rate = 1e-5 * 32 / 256
    config.optimizer.weight_decay = 0.05
    config.optimizer.betas = (0.9, 0.95)
    config.optimizer.clip_norm = 0.0
    config.checkpoint.every_steps = 500
    if scale == "tiny":
        config.model.name = "videomae_tiny"
        config.model.options.patch_size = 8
        config.data.frames = 8
        config.data.size = 64
        config.remat = "none"
        config.epochs = 20
        config.optimizer.learning_rate = 1e-3
        config.optimizer.warmup_epochs = 1
    return config
