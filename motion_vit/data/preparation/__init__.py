"""From a dataset's download to a prepared dataset: ArrayRecord shards with one encoded clip a record."""
