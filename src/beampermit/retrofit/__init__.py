"""Beampermit in a repository that stood before it: what is missing is added, nothing of the repository is touched."""
