"""Speech from text, by engines that the user installs, as more data for small corpora."""
