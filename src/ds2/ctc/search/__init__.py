"""The compiled loop of the beam search, and what it reads and writes."""
