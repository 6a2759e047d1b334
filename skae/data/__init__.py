"""Input data: validation, streams, moments, splits and batches."""
