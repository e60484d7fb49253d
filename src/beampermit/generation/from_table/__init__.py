"""A project of somebody's own table: what the table says of itself, and the contract that follows from it."""
