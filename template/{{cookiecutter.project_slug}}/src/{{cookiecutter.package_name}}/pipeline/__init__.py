"""Beampermit's pipeline, the same in every project: never edit it, `beampermit update` replaces it."""
