"""The parts of every command that a user sees: arguments, messages and output."""
