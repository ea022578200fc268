"""Deep Speech 2 checkpoints of other toolkits, made into bundles."""
