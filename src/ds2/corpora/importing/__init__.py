"""Recordings of one's own and a table of what is said in them: to a manifest."""
