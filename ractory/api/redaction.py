"""What is never written down: API keys and tokens, wherever clients put them. Passwords look like nothing in
particular, so a report of a crash leaves out altogether what may hold one."""

import re
from collections.abc import ItemsView
from types import FrameType
from typing import Any

from django.http import HttpRequest
from django.utils.safestring import SafeString, mark_safe
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

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
    """With DEBUG off, a report holds no local variable and nothing of a form, whatever the functions are called."""

    hidden_settings = re.compile(SafeExceptionReporterFilter.hidden_settings.pattern + "|DATABASE_URL", re.IGNORECASE)

    def get_traceback_frame_variables(self, request: HttpRequest, tb_frame: FrameType) -> ItemsView[str, Any]:
        return {}.items() if self.is_active(request) else super().get_traceback_frame_variables(request, tb_frame)

    def get_post_parameters(self, request: HttpRequest | None) -> dict[str, Any]:
        parameters = super().get_post_parameters(request)
        return dict.fromkeys(parameters, self.cleansed_substitute) if self.is_active(request) else parameters


class Reporter(ExceptionReporter):
    """Django's report of a crash, on the page for debugging or by mail, without secrets in addresses and messages."""

    def get_traceback_html(self) -> SafeString:
        return mark_safe(redacted(super().get_traceback_html()))  # noqa: S308  # as safe as it was

    def get_traceback_text(self) -> SafeString:
        return mark_safe(redacted(super().get_traceback_text()))  # noqa: S308  # as safe as it was
