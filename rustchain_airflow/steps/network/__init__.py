"""Steps that talk to other machines."""
