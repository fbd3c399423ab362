"""Steps that create, change, read and search files."""
