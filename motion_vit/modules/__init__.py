"""Flax Linen layers made of the operators in `motion_vit.ops`."""
