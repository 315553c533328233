"""What is never written down: API keys and tokens, wherever clients put them."""

import re

from django.views.debug import SafeExceptionReporterFilter

KEY_PREFIX = "rfk_"
KEY = re.compile(rf"{KEY_PREFIX}\w{{8,}}+", re.ASCII)  # or several, one right behind the other
# A JWT, looked for once a word and without backtracking: for a word of many "eyJ", which anyone may send in a path, it
# would else take time by the square of its length.
TOKEN = re.compile(r"(?<![\w-])(?>([\w-]*?)(?=eyJ))[\w-]{4,}+(?:\.[\w-]*+){2,}+", re.ASCII)
REDACTED = "[secret]"


def redacted(text: str) -> str:
    """The text without the API keys and tokens in it, good ones or not."""
    return KEY.sub(REDACTED, TOKEN.sub(rf"\1{REDACTED}", text))


def cut(text: str, most: int) -> str:
    """The text's first `most` characters, and a sign if there were more."""
    return text if len(text) <= most else text[:most] + "…"


def holds_secret(text: str) -> bool:
    return KEY.search(text) is not None or TOKEN.search(text) is not None


class ReportFilter(SafeExceptionReporterFilter):
    """Of Django's page for debugging, which shows the environment. Nothing else makes reports: crashes are logged."""

    hidden_settings = re.compile(SafeExceptionReporterFilter.hidden_settings.pattern + "|DATABASE_URL", re.IGNORECASE)
