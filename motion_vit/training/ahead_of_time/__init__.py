"""Compiles programs for devices that need not be attached, and estimates their costs.

In: a recipe and the name of a topology.
Out: memory, arithmetic and communication of a device.
Imports: `training.step` and what that may import.
"""
