"""What a decoded value means: one likelihood a file."""
