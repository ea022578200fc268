"""Batch Dispatch and the sessions that it moves; knows no protocol."""
