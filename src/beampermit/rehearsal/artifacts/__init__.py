"""A stand-in for GitHub's artifact store: two small actions that use a folder of the rehearsal."""
