"""A training run: its loop, its state on disk, its reports."""
