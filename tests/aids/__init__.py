"""Helpers that tests share: models, sounds, servers, oracles."""
