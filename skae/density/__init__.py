"""The density of a row, and what it is made of."""
