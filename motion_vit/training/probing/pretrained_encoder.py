"""Turns a pretrained run into a model whose features can be probed: its encoder, and a classifier of no meaning."""

import jax
from flax import traverse_util
from jax.sharding import Mesh

from motion_vit.models.checked_model import trace_model
from motion_vit.training.checkpoints.pretrained_run import PretrainedRun
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.parallel.mesh import replicated
from motion_vit.training.step.objective_registry import pretraining_of


def with_new_classifier(run: PretrainedRun, mesh: Mesh) -> TrainedModel:
    """Joins a pretrained encoder with newly initialised layers behind it, as fine-tuning does before its first step.

    Args:
      run: a run whose objective needed no labels.
      mesh: devices that hold the variables.

    Returns:
      A model whose features are those of the encoder, and whose classes mean nothing.
    """
    pretraining = pretraining_of(run.config)
    fresh = jax.jit(trace_model(run.model).init, out_shardings=replicated(mesh))(jax.random.key(run.config.seed))
    pretrained = traverse_util.flatten_dict(run.variables, sep="/")
    variables = {
        path: pretrained[path] if pretraining.is_of_encoder(run.model, path) else leaf
        for path, leaf in traverse_util.flatten_dict(fresh, sep="/").items()
    }
    return TrainedModel(
        run.model,
        traverse_util.unflatten_dict(variables, sep="/"),
        run.label_names,
        run.config,
        run.step,
        averaged=run.averaged,
    )
