"""The code of a project, read and never run: what no longer fits the contract, and what is edited of the pipeline."""
