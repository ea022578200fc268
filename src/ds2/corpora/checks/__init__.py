"""Finds faults of a corpus before training."""
