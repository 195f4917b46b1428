"""Those that are compared: each stores the same fines in its own best way."""
