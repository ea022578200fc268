"""Work on every utterance: in order, resumable, on threads or on a Ray cluster."""
