"""Steps that compute with machine-learning models."""
