"""The losses that training minimises, by name.

In: a model's logits or cost volumes, and targets.
Out: a loss for each clip.
Imports: no other package of `training`.
"""
