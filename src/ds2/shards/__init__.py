"""Tar shards: corpora in a few large files, on disks and in object stores."""
