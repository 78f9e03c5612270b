"""Videos of one's own, one folder per class: a small UniFormer with EMIM that learns from a larger one.

Commands:           motion-vit train --config configs/my_videos.py --workdir runs/my_videos
                    motion-vit train --config configs/my_videos_distilled.py --workdir runs/my_videos_distilled
                    motion-vit evaluate --checkpoint runs/my_videos_distilled --data data/my_videos
Teacher:            the run of the first command. Another one, or several: --config.distillation.teachers='("RUN",)'.
                    It must have the classes of the data, and clips of the same frames and size, here 16 x 112 x 112.
Expected time:      printed while training; a step takes a forward pass of the teacher besides.
Expected accuracy:  depends on the videos. It was not run here; docs/distillation.md has what is known.

The loss is that of Hinton et al. (arXiv 1503.02531). Temperature and weights are this library's own: the code of
"Multimodal distillation for egocentric action recognition" (ICCV 2023) has a temperature of 1 and no labels by default,
which is `distillation.temperature=1` and `loss.classification=0`. Long training helps a student more than anything
else, on clips that teacher and student see alike, as here (arXiv 2106.05237).
"""

from ml_collections import ConfigDict

from motion_vit.training.recipe.config import default_config


def get_config() -> ConfigDict:
    """Returns the recipe."""
    config = default_config()
    config.name = "my_videos_distilled"
    config.model.name = "uniformer_emim_tiny"
    config.data.train = "data/my_videos"
    config.data.validation = "data/my_videos"
    config.data.frames = 16
    config.data.size = 112
    config.data.sampling = "segment"
    config.augmentation.crop_scale = (0.4, 1.0)
    config.augmentation.flip = "off"
    config.augmentation.mixup = 0.8
    config.batch_size = 16
    config.epochs = 120
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_epochs = 2
    config.loss.label_smoothing = 0.0
    config.loss.classification = 0.5
    config.distillation.teachers = ("runs/my_videos",)
    config.distillation.temperature = 2.0
    config.distillation.weight = 0.5
    config.evaluation.batch_size = 16
    config.evaluation.every_epochs = 2
    config.checkpoint.every_steps = 500
    return config
