from django.apps import AppConfig


class PiecesConfig(AppConfig):
    """What: projects, components, assemblies, pieces; reading, soft deletion, restore."""

    name = "pieces"

    def ready(self) -> None:
        from pieces import expressions  # noqa: F401  # registers `any_of`
