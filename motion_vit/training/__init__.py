"""Trains, evaluates and predicts: recipes, steps, the loop and checkpoints.

In: a recipe.
Out: trained models and their accuracy.
Imports: `ops`, `modules`, `models`, `data`.
"""
