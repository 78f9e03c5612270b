"""Reports a run: metrics, curves, progress, throughput, memory and traces.

In: numbers of steps.
Out: lines, files and pictures.
Imports: no other package of `training`.
"""
