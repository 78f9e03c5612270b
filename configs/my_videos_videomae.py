"""Videos of one's own, one folder per class: VideoMAE-B, fine-tuned from its authors' weights.

Commands:           motion-vit prepare list --source my_videos --out data/my_videos
                    motion-vit import FILE --model videomae_b --out weights/videomae --new head --labels labels.txt
                    motion-vit train --config configs/my_videos_videomae.py --workdir runs/my_videos_videomae
                    motion-vit evaluate --checkpoint runs/my_videos_videomae --data data/my_videos --clips 2 --crops 3
Initial weights:    any of VideoMAE-B, of github.com/MCG-NJU/VideoMAE or as a safetensors file of its Hugging Face
                    repositories, such as MCG-NJU/videomae-base-finetuned-kinetics (licence CC-BY-NC 4.0); none has been
                    loaded here. Weights of pretraining, such as MCG-NJU/videomae-base, also need --new norm. labels.txt
                    has a line for each class of the videos.
Expected time:      printed while training: 180 GMACs a clip forward; not measured. It wants a GPU.
Expected accuracy:  depends on the videos. Of nothing here a published number is reproduced; with their own data the
                    authors report 70.8 % on Something-Something V2 and 81.5 % on Kinetics-400 (B).
Cost volumes:       --config.model.options.placement=lg puts EMIM into every second block. Import with `placement=lg
                    --new motion --new head` then. That is this library's own, and was not run.

Settings are those of the authors' fine-tuning scripts for Something-Something V2 (scripts/ssv2 of MCG-NJU/VideoMAE),
whose learning rate is 5e-4 for 256 clips, here for the 32 of a step. They were not run here. Change first:

- `augmentation.flip`: "on" if left and right are not part of the labels.
- `data.sampling`: "segment" for short videos that show one whole action, "dense" with `data.stride` 4 for weights from
  Kinetics and long videos.
- `batch_size`: down to what fits in memory, and `optimizer.learning_rate` in proportion to it.
"""

from ml_collections import ConfigDict

from motion_vit.training.recipe.config import default_config


def get_config() -> ConfigDict:
    """Returns the recipe."""
    config = default_config()
    config.name = "my_videos_videomae"
    config.initial_weights = "weights/videomae"
    config.model.name = "videomae_b"
    config.model.options.stochastic_depth = 0.1
    config.data.train = "data/my_videos"
    config.data.validation = "data/my_videos"
    config.data.frames = 16
    config.data.size = 224
    config.data.sampling = "segment"
    config.data.mean = (0.485, 0.456, 0.406)
    config.data.std = (0.229, 0.224, 0.225)
    config.augmentation.rand_augment = "rand-m7-n4-mstd0.5-inc1"
    config.augmentation.crop_scale = (0.08, 1.0)
    config.augmentation.crop_ratio = (0.75, 4 / 3)
    config.augmentation.flip = "off"
    config.augmentation.repeats = 2
    config.augmentation.erasing = 0.25
    config.augmentation.mixup = 0.8
    config.augmentation.cutmix = 1.0
    config.batch_size = 16
    config.epochs = 30
    config.remat = "matmuls"
    config.optimizer.learning_rate = 5e-4 * 32 / 256
    config.optimizer.layer_decay = 0.75
    config.optimizer.warmup_epochs = 5
    config.optimizer.warmup_start = 1e-6
    config.optimizer.final_learning_rate = 1e-6
    config.optimizer.weight_decay = 0.05
    config.optimizer.betas = (0.9, 0.999)
    config.optimizer.clip_norm = 0.0
    config.loss.label_smoothing = 0.1
    config.evaluation.batch_size = 16
    config.evaluation.every_epochs = 1
    config.checkpoint.every_steps = 500
    return config
