"""Run a command and end with its own words where it fails, for scripts that people start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n" if text else "")
    sys.stdout.flush()


def git(root: Path, *arguments: str) -> str:
    """What git prints. Ends the script where it fails."""
    return run(["git", *arguments], root).strip("\n")


def try_git(root: Path, *arguments: str, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
    """How git ended. Raises `subprocess.TimeoutExpired`."""
    command = ["git", *arguments]
    return subprocess.run(command, cwd=root, check=False, capture_output=True, text=True, timeout=timeout)


def run(command: list[str], cwd: Path, env: dict[str, str] | None = None) -> str:
    """What the command prints. Ends the script where it fails."""
    done = subprocess.run(command, cwd=cwd, env=env, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{Path(command[0]).name} {' '.join(command[1:4])} failed:\n{(done.stderr or done.stdout).strip()}")
    return done.stdout
