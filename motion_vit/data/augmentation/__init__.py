"""Augmentations of uint8 clips on the host: one draw for all frames of a clip."""
