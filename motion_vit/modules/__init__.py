"""Flax Linen layers made of the operators in `motion_vit.ops`.

In: tokens or clips.
Out: tokens or clips.
Imports: `ops`.
"""
