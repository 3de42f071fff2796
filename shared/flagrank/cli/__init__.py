"""The `flagrank` command."""
