"""The name of before, for scripts that have it."""

from pieces.management.commands.restore_deletion import Command as Command
