"""Rows on their way in: validation, streams, moments, splits and batches."""
