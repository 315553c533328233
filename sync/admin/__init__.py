"""The staff's pages about how data came in: runs, charts, changes by hand; and the home page, which knows everything.

Registers what rests on the receipts: the four levels with their history.
"""

from django.contrib import admin

from sync.admin import entities, runs, uploads

admin.site.index_title = "Home"
admin.site.index_template = "sync/home.html"

__all__ = ("entities", "runs", "uploads")
