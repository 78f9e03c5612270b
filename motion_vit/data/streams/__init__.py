"""Frames that come while somebody waits for them: cameras, addresses, files that grow, iterators.

In: a source and how long to wait for it.
Out: frames with their times.
Imports: `data.video`.
"""
