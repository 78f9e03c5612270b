"""X3D-M with and without video motion prompts, 16 frames: after "Motion meets Attention" (arXiv 2407.03179).

Recipes:            mpii-vmp, finegym-vmp: behind motion prompts; mpii, finegym: their baselines
Commands:           motion-vit import X3D_M.pyth --model x3d_m --stride 5 --out weights/x3d_m_k400
                    and on MPII Cooking 2
                    motion-vit prepare mpii_cooking2 --source DOWNLOAD --out data/mpii_cooking2 --codec h264-fast
                    motion-vit train --config configs/vmp_x3d.py:mpii-vmp --workdir runs/mpii
                    motion-vit evaluate --checkpoint runs/mpii --data data/mpii_cooking2:test --clips 1 --crops 3
                    or on FineGym
                    motion-vit prepare finegym --source DOWNLOAD --out data/finegym --codec h264-fast --skip-bad
                    motion-vit train --config configs/vmp_x3d.py:finegym-vmp --workdir runs/finegym
                    motion-vit evaluate --checkpoint runs/finegym --data data/finegym --clips 1 --crops 3
Initial weights:    X3D-M on Kinetics-400, the head anew, of PyTorchVideo's model zoo:
                    dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/X3D_M.pyth
                    or of the SlowFast repository's: dl.fbaipublicfiles.com/pyslowfast/x3d_models/x3d_m.pyth
                    whose network has one BatchNorm more: --config.model.options.stride_norm=True
Data:               MPII Cooking 2, 67 classes: trained on its split `train`, watched on `validation`, reported on
                    `test`; docs/datasets/mpii_cooking2.md. FineGym (Gym99), 99 classes, 26,320 training and 8,521
                    validation elements; docs/datasets/finegym.md.
Expected time:      30 epochs of steps of 64 clips of 16 x 224 x 224 pixels (behind prompts 17); not measured. Where
                    they do not fit the devices: --config.accumulation=8 computes the same in parts, but for BatchNorm.
Expected accuracy:  not measured, and no published number could be checked when this was written.

Sources. The paper names X3D among its backbones, but the released code (q1xiangchen/VMPs, 879ec93) has the prompts
before TimeSformer alone, and no settings for X3D. What is here:

- One layer of prompts stands before the network, which sees prompts in the place of frames.
- Clips, crops and weight decay are those of X3D-M's released settings on Kinetics: 16 frames, every fifth one, short
  sides of 256 to 320 pixels, squares of 224, mirrored at random; SGD with Nesterov momentum, weight decay 5e-5 except
  on BatchNorm, dropout 0.5. The rate is theirs, 0.1 for 128 clips, for a batch of 64: 0.05.
- The schedule is that of PyTorchVideo's fine-tuning of SlowFast on Something-Something V2, in which X3D has none: 30
  epochs, half a cosine after 3 epochs of warm-up. The warm-up starts at 0.01, as X3D's does.
- The weight of the regulariser is the paper's 2.5 on FineGym. On MPII Cooking 2 it is 0, as in the released settings
  of TimeSformer, which leave it to be tuned.
- They test on crops of 256 pixels, square by square, with precise BatchNorm statistics; here crops have 224 pixels and
  the statistics are the running ones.

Nothing of this was run on the datasets: neither they nor the weights were available.
"""

from typing import Any

from ml_collections import ConfigDict

from motion_vit.training.recipe.config import default_config

# What a square of 224 pixels covers of frames of 4:3 and of 16:9 whose short side is 256 to 320 pixels.
_MPII = {"data": "data/mpii_cooking2", "crop_scale": (0.37, 0.57)}
_FINEGYM = {"data": "data/finegym", "crop_scale": (0.28, 0.43)}
_PROMPT = {"input_adapter": "motion_prompt"}


def get_configs() -> dict[str, ConfigDict]:
    """Returns the recipes by name."""
    return {
        "mpii": _config("mpii_x3d", **_MPII),
        "mpii-vmp": _config("mpii_vmp_x3d", **_MPII, **_PROMPT, prompt_regularization=0.0),
        "finegym": _config("finegym_x3d", **_FINEGYM),
        "finegym-vmp": _config("finegym_vmp_x3d", **_FINEGYM, **_PROMPT, prompt_regularization=2.5),
    }


def _config(name: str, *, data: str, crop_scale: tuple[float, float], **options: Any) -> ConfigDict:
    config = default_config()
    config.name = name
    config.initial_weights = "weights/x3d_m_k400"
    config.model.name = "x3d_m"
    config.model.options.dropout = 0.5
    config.model.options.update(options)
    config.data.train = data
    config.data.validation = data
    config.data.frames = 16  # that X3D sees: behind motion prompts, clips have one more
    config.data.size = 224
    config.data.sampling = "dense"
    config.data.stride = 5
    config.data.mean = (0.45, 0.45, 0.45)
    config.data.std = (0.225, 0.225, 0.225)
    config.augmentation.crop_scale = crop_scale
    config.augmentation.crop_ratio = (1.0, 1.0)
    config.augmentation.flip = "on"
    config.batch_size = 64
    config.epochs = 30
    config.optimizer.name = "sgd"
    config.optimizer.momentum = 0.9
    config.optimizer.nesterov = True
    config.optimizer.learning_rate = 0.05
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_epochs = 3.0
    config.optimizer.warmup_start = 0.01
    config.optimizer.final_learning_rate = 0.0
    config.optimizer.weight_decay = 5e-5
    config.optimizer.decay_mask = ((r".*norm\d?/.*", False), (r".*", True))
    config.optimizer.clip_norm = 0.0
    config.loss.label_smoothing = 0.0
    config.evaluation.batch_size = 16
    config.evaluation.clips = 1
    config.evaluation.crops = 3
    config.evaluation.every_epochs = 5
    return config
