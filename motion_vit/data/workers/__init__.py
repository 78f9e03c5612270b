"""Processor cores and worker processes, and how far they are.

In: a request for parallel work.
Out: well-behaved workers and progress bars.
Imports: no other package of `data`.
"""
