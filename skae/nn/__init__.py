"""The torch side of estimators, and the networks that they train."""
