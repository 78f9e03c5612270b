"""The published datasets, a module each: how a download is laid out.

In: the folder of a download.
Out: clips with labels and splits.
Imports: `data.{sources,video}`.
"""
