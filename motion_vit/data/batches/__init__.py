"""Batches of clips for training and evaluation, read with Grain.

In: a source of clips and the options of clips, or features of clips.
Out: batches of uint8 clips, or of their features.
Imports: `data.{sources,features,augmentation,corruptions,video,workers}`.
"""
