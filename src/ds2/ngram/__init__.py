"""N-gram language models: estimated, read, written, scored, mixed."""
