"""The benchmarks: ours, its peers and the bare database, side by side in one run."""
