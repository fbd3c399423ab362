"""Steps that work on a git repository."""
