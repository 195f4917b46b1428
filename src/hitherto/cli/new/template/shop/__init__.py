"""A service that takes orders; its events are its data."""
