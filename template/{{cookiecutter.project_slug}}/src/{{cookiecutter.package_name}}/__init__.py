"""From turn-by-turn signals to a score for each monitor; see README.md for the steps."""
