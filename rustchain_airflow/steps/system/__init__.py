"""Steps that look after processes, services and archives."""
