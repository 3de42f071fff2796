"""The `flagrank` command, a module for each group of commands. `app.main` is where it begins.

Imports whatever a command needs, inside of that command where it is slow to import. Nothing imports it.
"""
