"""What the monitor would have said of recorded data, and which limits it should have."""
