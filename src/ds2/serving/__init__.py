"""The server: recognises live streams and recordings of many clients at once."""
