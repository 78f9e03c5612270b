"""Gestures of EgoGestAR without their labels: what EMIM and VideoMAE learn from 125 videos alone.

Data:               those of configs/egogestar.py
Commands:           motion-vit train --config configs/egogestar_pretraining.py --workdir build/gestures/photometric
                    motion-vit pretrain --config configs/egogestar_pretraining.py:tube --workdir build/gestures/tube
                    motion-vit pretrain --config configs/egogestar_pretraining.py:motion --workdir build/gestures/motion
                    configs/egogestar_fewer_labels.py starts from these.
Expected time:      10 minutes of one core for `photometric`, 20 to 30 for each of the others, beside other work
Expected accuracy:  none, these classify nothing; see configs/egogestar_fewer_labels.py
"""

from ml_collections import ConfigDict
from motion_vit.recipes import egogestar_fewer_labels


def get_config(loss: str = "photometric") -> ConfigDict:
    """Returns the recipe that learns by a loss without labels.

    Args:
      loss: `photometric`, by which the cost volumes of EMIM learn motion; `tube` or `motion`, masks by which VideoMAE
        learns to predict what is hidden.
    """
    if loss not in ("photometric", "tube", "motion"):
        raise ValueError(f"the loss is {loss!r}, but must be photometric, tube or motion")
    if loss == "photometric":
        config = egogestar_fewer_labels.recipe("emim", loss, steps=384, clips=125)
        config.loss.classification = 0.0
        config.loss.correspondence.photometric = 6.0
    else:
        config = egogestar_fewer_labels.recipe("videomae", loss, steps=1920, clips=125)
        config.objective = "masked_autoencoding"
        config.pretraining.mask = loss
        config.pretraining.mask_ratio = 0.75
        config.pretraining.decoder_depth = 1
        config.augmentation.rand_augment = ""
        config.optimizer.learning_rate = 2e-3
    config.data.validation = ""
    return config
