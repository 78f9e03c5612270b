"""TimeSformer with and without video motion prompts, 8 frames: recipes of "Motion meets Attention" (arXiv 2407.03179).

Recipes:            mpii-vmp, finegym-vmp: behind motion prompts; mpii, finegym: their baselines
Commands:           motion-vit import TimeSformer_divST_8x32_224_K600.pyth --model timesformer_b --out weights/k600
                    and on MPII Cooking 2
                    motion-vit prepare mpii_cooking2 --source DOWNLOAD --out data/mpii_cooking2 --codec h264-fast
                    motion-vit train --config configs/vmp_timesformer.py:mpii-vmp --workdir runs/mpii_vmp
                    motion-vit evaluate --checkpoint runs/mpii_vmp --data data/mpii_cooking2:test --clips 1 --crops 3
                    or on FineGym
                    motion-vit prepare finegym --source DOWNLOAD --out data/finegym --codec h264-fast --skip-bad
                    motion-vit train --config configs/vmp_timesformer.py:finegym-vmp --workdir runs/finegym_vmp
                    motion-vit evaluate --checkpoint runs/finegym_vmp --data data/finegym --clips 1 --crops 3
Initial weights:    TimeSformer on Kinetics-600, of the model zoo of github.com/facebookresearch/TimeSformer; the head
                    starts anew.
Data:               MPII Cooking 2, 67 classes: trained on its split `train`, watched on `validation`, reported on
                    `test`; docs/datasets/mpii_cooking2.md. FineGym (Gym99), 99 classes, 26,320 training and 8,521
                    validation elements; docs/datasets/finegym.md.
Expected time:      25 epochs of steps of 64 clips of 8 x 224 x 224 pixels (behind prompts 9), on FineGym 411 of them;
                    not measured. Where they do not fit the devices: --config.accumulation=8 computes the same in parts.
Expected accuracy:  not measured yet, and no published number could be checked when this was written.

Differences from the authors' runs, as far as their code and their settings for MPII Cooking 2 show them
(configs/MPII/VMPs.yaml and baseline_finetune.yaml of q1xiangchen/VMPs):

- Frames come from equal parts of the whole video. Theirs are spread over 288 frames of it ("9 x 32", for the baseline
  "8 x 32"), and over the whole where it is shorter, as the average interval of MPII Cooking 2 and most elements of
  FineGym are.
- Training crops are drawn by their area, theirs by the height of the frame.
- On MPII Cooking 2, the regulariser has the weight 0 of the released settings, which leave it to be tuned; on FineGym
  it has the paper's, 2.5.
- The grey weights are in the order red, green, blue; theirs are in the order of BGR (`prompt_grey_weights="bgr"`).
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
        "mpii": _config("mpii_timesformer", **_MPII),
        "mpii-vmp": _config("mpii_vmp_timesformer", **_MPII, **_PROMPT, prompt_regularization=0.0),
        "finegym": _config("finegym_timesformer", **_FINEGYM),
        "finegym-vmp": _config("finegym_vmp_timesformer", **_FINEGYM, **_PROMPT, prompt_regularization=2.5),
    }


def _config(name: str, *, data: str, crop_scale: tuple[float, float], **options: Any) -> ConfigDict:
    config = default_config()
    config.name = name
    config.initial_weights = "weights/k600"
    config.model.name = "timesformer_b"
    config.model.options.stochastic_depth = 0.1
    config.model.options.update(options)
    config.data.train = data
    config.data.validation = data
    config.data.frames = 8  # that TimeSformer sees: behind motion prompts, clips have one more
    config.data.size = 224
    config.data.sampling = "segment"
    config.data.mean = (0.45, 0.45, 0.45)
    config.data.std = (0.225, 0.225, 0.225)
    config.augmentation.crop_scale = crop_scale
    config.augmentation.crop_ratio = (1.0, 1.0)
    config.augmentation.flip = "on"
    config.batch_size = 64
    config.epochs = 25
    config.optimizer.name = "sgd"
    config.optimizer.momentum = 0.9
    config.optimizer.nesterov = True
    config.optimizer.learning_rate = 0.005
    config.optimizer.schedule = "step"
    config.optimizer.decay_epochs = (11, 14)
    config.optimizer.decay_factor = 0.1
    config.optimizer.warmup_epochs = 0.0
    config.optimizer.weight_decay = 1e-4
    config.optimizer.decay_mask = ((r".*", True),)
    config.optimizer.clip_norm = 0.0
    config.loss.label_smoothing = 0.0
    config.evaluation.batch_size = 24
    config.evaluation.clips = 1
    config.evaluation.crops = 3
    config.evaluation.every_epochs = 5
    return config
