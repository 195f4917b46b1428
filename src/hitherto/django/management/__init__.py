"""What Django finds by this name: the command."""
