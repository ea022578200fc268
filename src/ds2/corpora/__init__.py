"""From raw recordings to a manifest one can train on."""
