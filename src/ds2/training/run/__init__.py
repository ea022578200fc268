"""A training run: its loop, its state on disk, what it reports."""
