"""Backbones made of the modules, and the registry that builds them by name.

In: the name and options of a model.
Out: a Flax module from clips to logits.
Imports: `ops`, `modules`.
"""
