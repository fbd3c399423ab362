"""Steps that talk to databases."""
