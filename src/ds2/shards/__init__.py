"""Tar shards: corpora in few large files, read from disks and object stores."""
