"""The `ganvas` command."""
