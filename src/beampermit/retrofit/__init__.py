"""Add Beampermit to an existing repository, without changing any of its files."""
