"""Train the model of a commit again, from the commit alone, and compare the result with the committed model."""
