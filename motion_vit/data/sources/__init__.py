"""Clips by number, from list files or prepared datasets; videos by name.

In: a list file or a prepared folder; names of files, folders and lists.
Out: encoded clips with labels; paths of videos.
Imports: `data.{video,workers}`.
"""
