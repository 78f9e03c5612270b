"""Videos of one's own, one folder per class: Video Swin-T, fine-tuned from weights of Kinetics.

Commands:           motion-vit prepare list --source my_videos --out data/my_videos
                    motion-vit import FILE --model video_swin_t --out weights/video_swin --new head --labels labels.txt
                    motion-vit train --config configs/my_videos_video_swin.py --workdir runs/my_videos_video_swin
                    motion-vit evaluate --checkpoint runs/my_videos_video_swin --data data/my_videos --clips 4 --crops 3
Initial weights:    any of Video Swin-T, of github.com/SwinTransformer/Video-Swin-Transformer
                    (swin_tiny_patch244_window877_kinetics400_1k.pth) or torchvision's Swin3D_T_Weights.KINETICS400_V1;
                    none has been loaded here. Those of Swin-T for images also need --inflate average. labels.txt has a
                    line for each class of the videos.
Expected time:      printed while training: 87.8 GMACs a clip forward; not measured. It wants a GPU.
Expected accuracy:  depends on the videos. Of nothing here a published number is reproduced; the authors report
                    78.8 % on Kinetics-400 from weights of ImageNet.
Cost volumes:       --config.model.options.placement=stage3 puts EMIM into every second block of stage 3. Import with
                    `placement=stage3 --new motion --new head` then. That is this library's own, and was not run.

Settings are those of the authors' configuration for Kinetics-400 (configs/recognition/swin of their repository): AdamW
with a tenth of the learning rate for all but the head, no weight decay of normalisations and bias tables. Their 1e-3 is
for 64 clips, here for the 16 of a step. They were not run here. Change first:

- `augmentation.flip`: "off" if left and right are part of the labels.
- `data.sampling`: "segment" for short videos that show one whole action.
- `batch_size`: down to what fits in memory, and `optimizer.learning_rate` in proportion to it.
"""

from ml_collections import ConfigDict

from motion_vit.training.recipe.config import default_config


def get_config() -> ConfigDict:
    """Returns the recipe."""
    config = default_config()
    config.name = "my_videos_video_swin"
    config.initial_weights = "weights/video_swin"
    config.model.name = "video_swin_t"
    config.model.options.stochastic_depth = 0.1
    config.model.options.dropout = 0.5
    config.data.train = "data/my_videos"
    config.data.validation = "data/my_videos"
    config.data.frames = 32
    config.data.size = 224
    config.data.sampling = "dense"
    config.data.stride = 2
    config.data.mean = (0.485, 0.456, 0.406)
    config.data.std = (0.229, 0.224, 0.225)
    config.augmentation.rand_augment = ""
    config.augmentation.crop_scale = (0.08, 1.0)
    config.augmentation.crop_ratio = (0.75, 4 / 3)
    config.augmentation.flip = "on"
    config.augmentation.mixup = 0.0
    config.augmentation.cutmix = 0.0
    config.batch_size = 16
    config.epochs = 30
    config.remat = "matmuls"
    config.optimizer.learning_rate = 1e-3 * 16 / 64
    config.optimizer.learning_rate_multipliers = ((r"head/.*", 1.0), (r".*", 0.1))
    config.optimizer.warmup_epochs = 2.5
    config.optimizer.weight_decay = 0.02
    config.optimizer.decay_mask = ((r".*relative_position_bias", False), (r".*norm\d?/.*", False), (r".*", True))
    config.optimizer.betas = (0.9, 0.999)
    config.optimizer.clip_norm = 0.0
    config.loss.label_smoothing = 0.0
    config.evaluation.batch_size = 16
    config.evaluation.every_epochs = 1
    config.checkpoint.every_steps = 500
    return config
