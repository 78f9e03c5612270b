"""Batches of clips for training and evaluation, read with Grain.

In: a source of clips and the options of clips.
Out: batches of uint8 clips.
Imports: `data.{sources,augmentation,corruptions,video,workers}`.
"""
