"""No model reaches the machine unless every interlock is closed."""

__version__ = "0.1.0"
