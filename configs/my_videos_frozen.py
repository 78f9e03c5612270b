"""Videos of one's own, one folder per class: what comes after a frozen image network, which is ViT-B/16.

Commands:           motion-vit prepare list --source my_videos --out data/my_videos
                    motion-vit import ViT-B_16.npz --model vivit_b_factorised --out weights/in21k --labels labels.txt
                    --new head --new temporal --inflate center
                    motion-vit train --config configs/my_videos_frozen.py --workdir runs/my_videos_frozen
                    motion-vit evaluate --checkpoint runs/my_videos_frozen --data data/my_videos --clips 4 --crops 3
Initial weights:    any ViT-B/16 of images, in timm's names or as the .npz files of google-research/vision_transformer
                    (ImageNet-21k); none has been loaded here. labels.txt has a line for each class of the videos.
Expected time:      printed while training; not measured. A step costs a forward pass of 283 GMACs a clip and little
                    more, instead of three times as much; see docs/frozen_networks.md. It wants a GPU.
Expected accuracy:  depends on the videos; not known. Of nothing here a published number is reproduced: "Optimizing
                    ViViT Training" (arXiv 2306.04822) reports the accuracy of full training, or up to 1.79 points more,
                    with another adapter and its own settings, of which the abstract alone could be read.
Cost volumes:       --config.model.options.adapter=emim compares the tokens of neighbouring frames, `bottleneck` takes
                    a perceptron in the place of the learned queries, `none` nothing.
First look:         `--config configs/my_videos_frozen.py:tiny`, of which minutes on a CPU show that all of it works.
                    Its image network is a random one, from whose tokens little can be learned.

Settings are this library's and were not run, but for the tiny ones. Change first:

- `augmentation.flip`: "on" if left and right are not part of the labels.
- `temporal_weights`: a run that was trained with `frozen="none"`, if there is one.
- `batch_size`: up to what fits in memory, which is more than full training takes.
"""

from ml_collections import ConfigDict

from motion_vit.training.recipe.config import default_config


def get_config(scale: str = "full") -> ConfigDict:
    """Returns the recipe.

    Args:
      scale: "full", or "tiny" for a small network on small pictures, which `--config my_videos_frozen:tiny` takes.
    """
    if scale not in ("full", "tiny"):
        raise ValueError(f"the scale is {scale!r}, but must be full or tiny")
    config = default_config()
    config.name = "my_videos_frozen"
    config.initial_weights = "weights/in21k"
    config.temporal_weights = "image"
    config.model.name = "vivit_b_factorised"
    config.model.options.frozen = "spatial"
    config.model.options.adapter = "attention"
    config.data.train = "data/my_videos"
    config.data.validation = "data/my_videos"
    config.data.frames = 32
    config.data.size = 224
    config.data.sampling = "segment"
    config.data.mean = (0.5, 0.5, 0.5)
    config.data.std = (0.5, 0.5, 0.5)
    config.augmentation.crop_scale = (0.4, 1.0)
    config.augmentation.flip = "off"
    config.batch_size = 32
    config.epochs = 30
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_epochs = 2.5
    config.optimizer.weight_decay = 0.05
    config.optimizer.clip_norm = 1.0
    config.loss.label_smoothing = 0.1
    config.evaluation.batch_size = 16
    config.evaluation.every_epochs = 1
    config.checkpoint.every_steps = 500
    if scale == "tiny":
        config.initial_weights = ""
        config.temporal_weights = ""
        config.model.name = "vivit_tiny"
        config.model.options.attention = "factorised_encoder"
        config.data.frames = 8
        config.data.size = 64
        config.batch_size = 16
        config.epochs = 10
        config.optimizer.warmup_epochs = 1
    return config
