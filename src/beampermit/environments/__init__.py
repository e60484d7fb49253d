"""Locked environments: what a project asks for, what its lock says, what is installed."""

from beampermit.environments.environment import Environment

__all__ = ["Environment"]
