"""Serving live streams and recordings to many clients at once."""
