"""Clips by number, from list files or prepared datasets.

In: a list file or a prepared folder.
Out: encoded clips with labels.
Imports: `data.{video,workers}`.
"""
