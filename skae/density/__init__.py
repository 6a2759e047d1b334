"""The density of a row, and its parts."""
