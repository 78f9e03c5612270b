"""MPII Cooking 2, TimeSformer behind video motion prompts, 8 frames: "Motion meets Attention" (arXiv 2407.03179).

Commands:           motion-vit prepare mpii_cooking2 --source DOWNLOAD --out data/mpii_cooking2 --codec h264-fast
                    motion-vit import TimeSformer_divST_8x32_224_K600.pyth --model timesformer_b --out weights/k600
                    motion-vit train --config configs/mpii_vmp_timesformer.py --workdir runs/mpii_vmp
                    motion-vit evaluate --checkpoint runs/mpii_vmp --data data/mpii_cooking2:test --clips 1 --crops 3
Data:               67 classes; docs/datasets/mpii_cooking2.md. Trained on its split `train`, watched on `validation`,
                    reported on `test`.
Initial weights:    TimeSformer on Kinetics-600, of the model zoo of github.com/facebookresearch/TimeSformer; the head
                    starts anew.
Expected time:      25 epochs of steps of 64 clips of 9 x 224 x 224 pixels; not measured. Where they do not fit the
                    devices: --config.accumulation=8 computes the same in parts.
Expected accuracy:  not measured yet, and no published number could be checked when this was written.

Differs from the authors' run (configs/MPII/VMPs.yaml of q1xiangchen/VMPs): frames come from 9 equal parts of the whole
video; there they are spread over 288 frames of it ("9 x 32"), and over the whole where it is shorter, as the average
interval is. Training crops are drawn by their area, there by the height of the frame. The regulariser has the weight 0
of the released settings, which leave it to be tuned. The grey weights are those of red, green and blue; there they are
in the order of BGR (`prompt_grey_weights="bgr"`).
"""

from ml_collections import ConfigDict

from motion_vit.training.config import default_config


def get_config() -> ConfigDict:
    """The recipe."""
    config = default_config()
    config.name = "mpii_vmp_timesformer"
    config.initial_weights = "weights/k600"
    config.model.name = "timesformer_b"
    config.model.options.stochastic_depth = 0.1
    config.model.options.input_adapter = "motion_prompt"
    config.model.options.prompt_regularization = 0.0
    config.data.train = "data/mpii_cooking2"
    config.data.validation = "data/mpii_cooking2"
    config.data.frames = 8  # that TimeSformer sees: clips have one more
    config.data.size = 224
    config.data.sampling = "segment"
    config.data.mean = (0.45, 0.45, 0.45)
    config.data.std = (0.225, 0.225, 0.225)
    # A square of 224 pixels in frames of 4:3 whose short side is 256 to 320 pixels.
    config.augmentation.crop_scale = (0.37, 0.57)
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
    config.label_smoothing = 0.0
    config.evaluation.batch_size = 24
    config.evaluation.clips = 1
    config.evaluation.crops = 3
    config.evaluation.every_epochs = 5
    return config
