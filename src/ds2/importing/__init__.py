"""Make bundles from Deep Speech 2 checkpoints of other toolkits."""
