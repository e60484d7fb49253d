"""A project takes over a newer template: three-way, from what its own files record."""
