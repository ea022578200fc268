"""What recognition tells: words with times, events, and the formats they are written in."""
