"""Batches to checkpoints: the recipe, the optimizer, the step, the loop, evaluation and prediction."""
