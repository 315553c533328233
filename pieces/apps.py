from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate


class PiecesConfig(AppConfig):
    """What: projects, components, assemblies, pieces; reading, soft deletion, restore, history."""

    name = "pieces"

    def ready(self) -> None:
        from pieces import expressions, triggers  # noqa: F401  # registers `any_of`

        pre_migrate.connect(triggers.remove, sender=self)
        post_migrate.connect(triggers.install, sender=self)
