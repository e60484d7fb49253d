"""No model reaches the machine unless every interlock passes."""

__version__ = "0.1.0"
