"""Your own videos, a folder per class or a list file `path,label`: the recipe to start from.

Commands:           motion-vit prepare list --source my_videos --out data/my_videos
                    motion-vit data show data/my_videos --config configs/my_videos.py --out samples.png
                    motion-vit train --config configs/my_videos.py --workdir runs/my_videos
                    motion-vit evaluate --checkpoint runs/my_videos --data data/my_videos
                    motion-vit predict VIDEO --checkpoint runs/my_videos
Expected time:      printed while training; it is that of UniFormer-S at 16 frames of 112 x 112 pixels, a quarter of the
                    arithmetic of 224 x 224. A GPU is wanted for more than a few hundred videos.
Expected accuracy:  depends on the videos. Without pretrained weights expect to need thousands of them.
First look:         `--config configs/my_videos.py:tiny`, of which minutes on a CPU show that all of it works.

Change first:

- `augmentation.flip`: "on" if left and right are not part of the labels.
- `data.sampling`: "segment" for short videos that show one whole action, "dense" for long ones in which every second
  shows it.
- `batch_size`: down to what fits in memory, and `optimizer.learning_rate` in proportion to it.
"""

from ml_collections import ConfigDict

from motion_vit.training.recipe.config import default_config


def get_config(scale: str = "full") -> ConfigDict:
    """Returns the recipe.

    Args:
      scale: "full", or "tiny" for a small network on small pictures, which `--config my_videos:tiny` takes.
    """
    if scale not in ("full", "tiny"):
        raise ValueError(f"the scale is {scale!r}, but must be full or tiny")
    config = default_config()
    config.name = "my_videos"
    config.model.name = "uniformer_emim_s"
    config.model.options.stochastic_depth = 0.1
    config.data.train = "data/my_videos"
    config.data.validation = "data/my_videos"
    config.data.frames = 16
    config.data.size = 112
    config.data.sampling = "segment"
    config.augmentation.crop_scale = (0.4, 1.0)
    config.augmentation.flip = "off"
    config.batch_size = 16
    config.epochs = 40
    config.optimizer.learning_rate = 2e-4
    config.optimizer.warmup_epochs = 2
    config.evaluation.batch_size = 16
    config.evaluation.every_epochs = 1
    config.checkpoint.every_steps = 500
    if scale == "tiny":
        config.model.name = "uniformer_emim_tiny"
        config.data.frames = 8
        config.data.size = 64
        config.epochs = 10
        config.optimizer.learning_rate = 1e-3
        config.optimizer.warmup_epochs = 1
    return config
