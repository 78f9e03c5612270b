"""Programs compiled for devices that need not be there, and what they cost.

In: a recipe and the name of a topology.
Out: memory, arithmetic and communication of a device.
Imports: `training.step` and what that may import.
"""
