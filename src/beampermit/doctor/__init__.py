"""What a project's set-up lacks: looked for on this machine, in its files, and on GitHub."""
