"""What a use case calls. It knows ports, never a driver."""
