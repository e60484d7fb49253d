"""Making the model of a commit once more, from nothing but the commit, and saying how the two compare."""
