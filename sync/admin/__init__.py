"""The staff's pages of the four levels and about how data came in; and the home page, which knows everything."""

from django.contrib import admin

from sync.admin import entities, runs, uploads  # noqa: F401  # they register their admins

admin.site.index_title = "Home"
admin.site.index_template = "sync/home.html"
