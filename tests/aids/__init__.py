"""What tests share: models, sounds, servers, oracles."""
