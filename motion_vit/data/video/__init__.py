"""Video files and frame folders: probed, decoded, encoded.

In: files or their bytes.
Out: frames as uint8 arrays, and facts about the file.
Imports: no other package of `data`.
"""
