"""Steps that work with language models."""
