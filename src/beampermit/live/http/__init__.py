"""The service over HTTP: questions by the Open Inference Protocol v2, health, metrics, and what the outputs show."""
