"""The staff's pages about what. sync.admin registers the admins of the four levels, with what it knows of runs."""

from pieces.admin import trash  # noqa: F401  # registers its admin
