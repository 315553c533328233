"""The name of before, for scripts that have it."""

from sync.management.commands.export_entities import Command as Command
