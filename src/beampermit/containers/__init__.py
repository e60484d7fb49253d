"""Images of containers: how they are named, and what the registry that holds one says of it."""
