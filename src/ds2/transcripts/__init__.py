"""The results of recognition: words with times, events, and their file formats."""
