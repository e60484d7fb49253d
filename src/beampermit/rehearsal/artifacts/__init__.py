"""What stands in for GitHub's artifact store: two small actions and the folder of one rehearsal."""
