"""Processes and devices that train together.

In: what the scheduler and JAX say about this process and its devices.
Out: joined processes, a named mesh, and errors that all processes share.
Imports: no other package of `training`.
"""
