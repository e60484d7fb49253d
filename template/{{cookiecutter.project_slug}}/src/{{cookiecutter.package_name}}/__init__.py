"""From recorded turns to a score for each monitor; README.md tells the path from data request to retirement."""
