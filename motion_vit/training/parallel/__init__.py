"""Joins processes and devices that train together.

In: the environment that the scheduler and JAX give this process and its devices.
Out: joined processes, a named mesh, and errors that all processes share.
Imports: no other package of `training`.
"""
