"""What happens to clips and labels on the device before the model sees them.

In: uint8 clips and labels.
Out: normalised, augmented clips and their targets.
Imports: `training.recipe`.
"""
