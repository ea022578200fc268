"""Speech from text, through engines that a user installs, to widen small corpora."""
