"""Trials: a search space that is data, studies bound to what was searched on, and the trials of each."""
