"""From a dataset's download to a prepared dataset: ArrayRecord shards with one encoded clip a record.

In: a dataset of `data.datasets`.
Out: a folder that `data.sources` opens.
Imports: `data.{datasets,sources,video,workers}`.
"""
