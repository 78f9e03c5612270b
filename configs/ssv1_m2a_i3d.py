"""Something-Something V1, I3D of a ResNet-18 with M2A, 8 frames: after "M2A: Motion Aware Attention"
(arXiv 2111.09976).

Recipes:            m2a, and i3d without it
Commands:
    motion-vit prepare something_something_v1 --source DOWNLOAD --out data/ssv1
    motion-vit import resnet18-f37072fd.pth --model i3d_resnet18_m2a --inflate repeat --new motion --out weights/i3d_m2a
    motion-vit train --config configs/ssv1_m2a_i3d.py:m2a --workdir runs/ssv1_m2a_i3d
    motion-vit evaluate --checkpoint runs/ssv1_m2a_i3d --data data/ssv1 --clips 1 --crops 3
    and without M2A
    motion-vit import resnet18-f37072fd.pth --model i3d_resnet18 --inflate repeat --out weights/i3d
    motion-vit train --config configs/ssv1_m2a_i3d.py:i3d --workdir runs/ssv1_i3d
    motion-vit evaluate --checkpoint runs/ssv1_i3d --data data/ssv1 --clips 1 --crops 3
Initial weights:    torchvision's ResNet-18 of ImageNet-1K, whose kernels `import` repeats over three frames without
                    dividing, as the authors' code does; the head starts anew, because the classes are others.
Data:               174 classes, 86,017 training and 11,522 validation videos; docs/datasets/something_something_v1.md.
Expected time:      30 epochs of 672 steps of 128 clips of 8 x 224 x 224 pixels; not measured.
Expected accuracy:  not measured. The paper claims 15 to 26 % more top-1 accuracy by M2A, relative, over backbones.

Sources. Network and initial weights are those of `archs/i3d_resnet.py` of gebob19/M2A. Clips, optimizer and schedule
are those of its ResNet-18, in configs/ssv1_m2a_resnet18.py: its `scripts/m2a_i3d.sh` asks for temporal shifts, with
which its I3D fails, and its loader mixes time and colour. So this is not a run that the authors can have made.

Nothing of this was run on the dataset, which was not available.
"""

from ml_collections import ConfigDict

from motion_vit.training.recipe.config import default_config


def get_configs() -> dict[str, ConfigDict]:
    """Returns the recipes by name."""
    return {
        "m2a": _config("ssv1_m2a_i3d", model="i3d_resnet18_m2a", weights="weights/i3d_m2a"),
        "i3d": _config("ssv1_i3d", model="i3d_resnet18", weights="weights/i3d"),
    }


def _config(name: str, *, model: str, weights: str) -> ConfigDict:
    config = default_config()
    config.name = name
    config.initial_weights = weights
    config.model.name = model
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
