"""The staff's pages about what: finding, the four levels, deletion and the trash.

sync.admin registers the admins of the four levels, with what it knows of runs and with changes by hand.
"""

from pieces.admin import trash

__all__ = ("trash",)
