"""The estimators, one a file, and the contract that they share."""
