"""Beampermit's pipeline, the same in every project: never edit it, a newer version replaces it."""
