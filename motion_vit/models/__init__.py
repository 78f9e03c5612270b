"""Backbones made of the modules, and the registry that builds them by name.

In: the name and options of a model.
Out: a Flax module from clips to logits, see `motion_vit.models.video_model` for what it offers.
Imports: `ops`, `modules`.
"""
