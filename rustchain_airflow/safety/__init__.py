"""What missions may do: paths, commands, hosts, secrets."""
