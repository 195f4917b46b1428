"""What stands behind the ports. Backends do not know each other."""
