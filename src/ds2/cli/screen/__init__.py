"""What a user sees of every command: its arguments, its messages, its output."""
