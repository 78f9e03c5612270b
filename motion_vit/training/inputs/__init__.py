"""Prepares clips and labels on the device: normalisation, erasing, mixing and targets.

In: uint8 clips and labels.
Out: normalised, augmented clips and their targets.
Imports: `training.recipe`.
"""
