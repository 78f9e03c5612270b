"""Something-Something V1, MobileNetV2 with M2A, 8 frames: a recipe of "M2A: Motion Aware Attention" (arXiv 2111.09976).

Recipes:            m2a, tsm with temporal shifts in its place, and tsn with neither, which the paper compares it with
Commands:           motion-vit prepare something_something_v1 --source DOWNLOAD --out data/ssv1
                    motion-vit import mobilenet_v2.pth --model mobilenetv2_m2a --new motion --out weights/m2a
                    motion-vit train --config configs/ssv1_m2a_mobilenetv2.py:m2a --workdir runs/ssv1_m2a
                    motion-vit evaluate --checkpoint runs/ssv1_m2a --data data/ssv1 --clips 1 --crops 3
                    and with temporal shifts, or with tsn for tsm
                    motion-vit import mobilenet_v2.pth --model mobilenetv2_tsm --out weights/tsm
                    motion-vit train --config configs/ssv1_m2a_mobilenetv2.py:tsm --workdir runs/ssv1_tsm
                    motion-vit evaluate --checkpoint runs/ssv1_tsm --data data/ssv1 --clips 1 --crops 3
Initial weights:    MobileNetV2 of ImageNet-1K, which `import` puts below new M2A modules; the head starts anew, because
                    the classes are others. The authors' file is mobilenetv2_1.0-f2a8633.pth.tar of tonylins;
                    torchvision's is read, too. mobilenet_v2.pth stands for either.
Data:               174 classes, 86,017 training and 11,522 validation videos; docs/datasets/something_something_v1.md.
Sources:            github.com/gebob19/M2A. Settings are those of ssv1_m2a_resnet18.py: the authors' for ResNet-18. That
                    they trained MobileNetV2 with the same is assumed.
Expected time:      30 epochs of 672 steps of 128 clips of 8 x 224 x 224 pixels; not measured.
Expected accuracy:  not measured: nothing of this was run. The paper claims 15 to 26 % more top-1 accuracy by M2A,
                    relative, over its backbones, of which this is one; its number for MobileNetV2 is not known here.

Differs from the authors' run: BatchNorm takes the statistics of 32 clips, as theirs does, but over all devices.
"""

from ml_collections import ConfigDict

from motion_vit.training.recipe.config import default_config


def get_configs() -> dict[str, ConfigDict]:
    """Returns the recipes by name."""
    return {kind: _config(kind) for kind in ("m2a", "tsm", "tsn")}


def _config(kind: str) -> ConfigDict:
    config = default_config()
    config.name = f"ssv1_{kind}_mobilenetv2"
    config.initial_weights = f"weights/{kind}"
    config.model.name = f"mobilenetv2_{kind}"
    config.model.options.dropout = 0.5
    config.data.train = "data/ssv1"
    config.data.validation = "data/ssv1"
    config.data.frames = 8
    config.data.size = 224
    config.data.sampling = "segment"
    config.data.mean = (0.485, 0.456, 0.406)  # of ImageNet, as the weights were trained
    config.data.std = (0.229, 0.224, 0.225)
    config.data.workers = 8
    config.augmentation.crop = "multi_scale"
    config.augmentation.crop_sizes = (1.0, 0.875, 0.75, 0.66)
    config.augmentation.flip = "off"  # left and right are part of the labels
    config.batch_size = 128
    config.accumulation = 4  # of 32 clips
    config.epochs = 30
    config.optimizer.name = "sgd"
    config.optimizer.learning_rate = 0.02
    config.optimizer.momentum = 0.9
    config.optimizer.weight_decay = 5e-4
    config.optimizer.decay_mask = ((r".*", True),)
    config.optimizer.warmup_epochs = 0
    config.optimizer.schedule = "step"
    config.optimizer.decay_epochs = (20,)
    config.optimizer.decay_factor = 0.1
    config.optimizer.clip_norm = 20.0
    config.loss.label_smoothing = 0.0
    config.evaluation.batch_size = 32
    config.evaluation.clips = 1
    config.evaluation.crops = 3
    config.evaluation.every_epochs = 5
    return config
