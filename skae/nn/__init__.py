"""The torch modules of the estimators, and their networks."""
