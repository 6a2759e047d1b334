"""The estimators, one per file, and the base classes that they share."""
