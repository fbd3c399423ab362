"""Steps that parse, validate and transform data."""
