"""The recipe of the tests that start processes: `motion-vit train --config tests/small_recipe.py`."""

import os
import pathlib
import resource
import sys

from ml_collections import ConfigDict

from motion_vit.training.parallel import processes as distributed
from motion_vit.training.recipe.config import default_config

sys.path.append(str(pathlib.Path(__file__).parent))

from small_network import register_small_network
from training_processes import FILE_SIZE, HEARTBEAT


def get_config() -> ConfigDict:
    """Steps of milliseconds, each of them logged; the data is given on the command line."""
    register_small_network()
    distributed.HEARTBEAT_SECONDS = int(os.environ.get(HEARTBEAT, distributed.HEARTBEAT_SECONDS))
    if FILE_SIZE in os.environ:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(os.environ[FILE_SIZE]), resource.RLIM_INFINITY))
    config = default_config()
    config.name = "small"
    config.model.name = "small"
    config.data.frames = 4
    config.data.size = 32
    config.batch_size = 8
    config.epochs = 7.0
    config.ema = ((r".*", 0.9),)
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_epochs = 1.0
    config.evaluation.batch_size = 8
    config.checkpoint.every_steps = 4
    config.log.every_steps = 1
    return config
