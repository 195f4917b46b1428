"""Hash chains: of each aggregate's events, and signed checkpoints over the heads of all."""
