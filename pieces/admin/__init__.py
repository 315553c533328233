"""The staff's pages about what: finding, the four levels, deletion and the trash.

The admins of the four levels are registered by sync.admin, which adds what sync knows: which run made and changed a
row, and changes by hand, which go the way of a sync.
"""

from pieces.admin import trash

__all__ = ("trash",)
