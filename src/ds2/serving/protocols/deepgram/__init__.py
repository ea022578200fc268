"""Deepgram's protocol: live streams and recordings."""
