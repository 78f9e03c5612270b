"""The embedded motion dataset, rendered.

In: a seed.
Out: video files and list files.
Imports: `data.{video,workers}`.
"""
