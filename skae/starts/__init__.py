"""What training begins as: classical methods in closed form (numpy, float64)."""
