"""Objectives of runs: the network that learns, its inputs of a batch, and the loss of each clip.

In: a recipe, its model and batches on the devices.
Out: the loss of each clip and what else is measured.
Imports: `training.{losses,masking,recipe,inputs}`.
"""
