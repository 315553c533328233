"""The staff's pages about what. Those of the four levels, which can be changed there, are in sync.admin."""

from pieces.admin import trash  # noqa: F401  # registers its admin
