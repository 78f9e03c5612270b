"""The training step: state, optimizer, sharding, and the compiled functions of a recipe.

In: a recipe, a mesh and batches on the devices.
Out: the next state and its metrics.
Imports: `training.{parallel,losses,recipe,inputs,objectives}`.
"""
