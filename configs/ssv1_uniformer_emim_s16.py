"""Something-Something V1, UniFormer-S with EMIM, 16 frames: the recipe of the EMIM paper (arXiv 2510.18705).

Commands:           motion-vit prepare something_something_v1 --source DOWNLOAD --out data/ssv1
                    motion-vit train --config configs/ssv1_uniformer_emim_s16.py --workdir runs/ssv1_s16
                    motion-vit evaluate --checkpoint runs/ssv1_s16 --data data/ssv1 --clips 1 --crops 3
Data:               174 classes, 86,017 training and 11,522 validation videos; docs/datasets/something_something_v1.md.
Expected time:      60 epochs of 2,688 steps of 32 videos, 64 clips of 16 x 224 x 224 pixels; not measured yet.
Expected accuracy:  not measured yet. The backbone without EMIM, at temporal stride 2 and from Kinetics-400 weights,
                    reaches 57.2 % top-1 (UniFormer, arXiv 2201.04676, table of Something-Something results).

Differs from the authors' run: no initialisation from ImageNet-1K weights yet; frames are RGB (the authors' loader feeds
BGR); BatchNorm is over the whole batch here and over each GPU's part of it there.
"""

from ml_collections import ConfigDict

from motion_vit.training.recipe.config import default_config


def get_config() -> ConfigDict:
    """Returns the recipe."""
    config = default_config()
    config.name = "ssv1_uniformer_emim_s16"
    config.model.name = "uniformer_emim_s"
    config.model.options.stochastic_depth = 0.2
    config.data.train = "data/ssv1"
    config.data.validation = "data/ssv1"
    config.data.frames = 16
    config.data.size = 224
    config.data.sampling = "segment"
    config.data.mean = (0.45, 0.45, 0.45)
    config.data.std = (0.225, 0.225, 0.225)
    config.data.workers = 8  # hold up to 32 batches of 154 MB
    config.augmentation.rand_augment = "rand-m7-n4-mstd0.5-inc1"
    config.augmentation.rand_augment_on = "frame"
    config.augmentation.crop_scale = (0.08, 1.0)
    config.augmentation.crop_ratio = (0.75, 4 / 3)
    config.augmentation.flip = "off"  # left and right are part of the labels
    config.augmentation.repeats = 2
    config.augmentation.erasing = 0.25
    config.augmentation.mixup = 0.8
    config.augmentation.cutmix = 1.0
    config.augmentation.mix_probability = 1.0
    config.augmentation.mix_switch_probability = 0.5
    config.batch_size = 32
    config.epochs = 60
    config.optimizer.learning_rate = 2e-4
    config.optimizer.warmup_epochs = 5
    config.optimizer.warmup_start = 1e-6
    config.optimizer.final_learning_rate = 1e-6
    config.optimizer.weight_decay = 0.05
    config.optimizer.betas = (0.9, 0.999)
    config.optimizer.eps = 1e-8
    config.optimizer.clip_norm = 20.0
    config.loss.label_smoothing = 0.1
    config.evaluation.batch_size = 32
    config.evaluation.clips = 1
    config.evaluation.crops = 3
    config.evaluation.every_epochs = 5
    return config
