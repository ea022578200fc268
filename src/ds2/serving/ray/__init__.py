"""Many replicas of the server on a Ray cluster."""
