"""Steps that do nothing, run a program, or call a web service."""
