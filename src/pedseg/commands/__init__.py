"""The commands: what reads a command line, and the plumbing that commands share."""
