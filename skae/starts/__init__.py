"""Initial models: classical methods in closed form (numpy, float64)."""
