"""Few labelled videos and many others: TimeSformer-B, which labels the others itself (SVFormer, SeFAR).

Commands:           motion-vit prepare list --source my_videos --out data/my_videos
                    motion-vit import FILE --model timesformer_b --out weights/imagenet --new head --labels labels.txt
                    motion-vit train --config configs/my_videos_semi_supervised.py:adaptive --workdir runs/semi
                    motion-vit evaluate --checkpoint runs/semi --data data/my_videos --clips 5 --crops 3
Recipes:            fixmatch: labels that the average of the model is sure of (SVFormer, CVPR 2023, arXiv 2211.13222).
                    adaptive: all labels, by how sure and how steady it is (SeFAR, AAAI 2025, arXiv 2501.01245).
Unlabelled videos:  a list file with the column `path`, here data/others.csv.
Initial weights:    both papers start from weights for images of ImageNet; none have been loaded here.
Expected time:      printed while training: 3 forward and 2 backward passes of 196 GMACs for each unlabelled video, and
                    nine forward passes more with adaptive weights. It wants a GPU.
Expected accuracy:  depends on the videos; it was not run here, and no published number is reproduced. With 5 % of the
                    labels of FineGym (Gym99), SeFAR reports 39.0 % top-1; with 10 % of those of UCF101, SVFormer
                    (B) reports 86.7 %.

Settings are SeFAR's where the paper or its code (github.com/KyleHuang9/SeFAR) has them, of which these differ:

- The code of both drops whole colour channels of strong views, by a mistake in the shape of its dropout. Not here.
- The code of SeFAR swaps red and blue in place of reversing frames, and never applies the RandAugment of its strong
  views. Here strong views have RandAugment, and frames keep their order: `unlabelled.strong_time` changes it, and
  "reverse" is not for classes that are told apart by the direction of what moves.
- `batch_size`, here of one GPU, and epochs, which count the labelled videos. Change the learning rate in proportion.
- `unlabelled.threshold` of fixmatch: the released configuration does not have it.
"""

from ml_collections import ConfigDict

from motion_vit.training.recipe.config import default_config


def get_configs() -> dict[str, ConfigDict]:
    """Returns the recipes by name."""
    return {method: _config(method) for method in ("fixmatch", "adaptive")}


def _config(method: str) -> ConfigDict:
    config = default_config()
    config.name = f"my_videos_{method}"
    config.initial_weights = "weights/imagenet"
    config.model.name = "timesformer_b"
    config.model.options.dropout = 0.5 if method == "adaptive" else 0.0
    config.data.train = "data/my_videos"
    config.data.validation = "data/my_videos"
    config.data.frames = 8
    config.data.size = 224
    config.data.sampling = "segment"
    config.augmentation.crop_scale = (0.4, 1.0)
    config.augmentation.flip = "off"
    config.batch_size = 8
    config.epochs = 30
    config.ema = ((r".*", 0.9999),)
    config.optimizer.name = "sgd"
    config.optimizer.momentum = 0.9
    config.optimizer.learning_rate = 5e-3
    config.optimizer.schedule = "step"
    config.optimizer.decay_epochs = (25, 28)
    config.optimizer.decay_factor = 0.1
    config.optimizer.warmup_epochs = 0.0
    config.optimizer.weight_decay = 1e-3
    config.optimizer.clip_norm = 0.0
    config.loss.label_smoothing = 0.0
    config.unlabelled.data = "data/others.csv"
    config.unlabelled.method = method
    config.unlabelled.weight = 2.0
    config.unlabelled.mix_weight = 2.0
    config.unlabelled.warmup_epochs = 5
    config.evaluation.batch_size = 8
    config.evaluation.ema = True
    config.evaluation.every_epochs = 5
    config.checkpoint.every_steps = 500
    return config
