"""Runs one step the same way in both engines."""
