"""The model's own files, and the pipeline that runs them; see README.md."""
