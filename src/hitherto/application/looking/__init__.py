"""What people ask of a store when something is amiss: they look, and change nothing."""
