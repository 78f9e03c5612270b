"""Batches to checkpoints: the recipe, the step, the loop, evaluation and prediction.

In: a recipe.
Out: trained models and their accuracy.
Imports: `ops`, `modules`, `models`, `data`.
"""
