"""Backbones made of the modules, and the registry that builds them by name."""
