"""Steps that build, test, format and read source code."""
