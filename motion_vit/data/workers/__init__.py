"""Processor cores, worker processes, and progress bars.

In: a request for parallel work.
Out: well-behaved workers and progress bars.
Imports: no other package of `data`.
"""
