"""What the text of an environment variable may be, and the value that it is. Each raises ValueError or KeyError."""

import re
from collections.abc import Callable

from django.core.exceptions import ImproperlyConfigured


def boolean(text: str) -> bool:
    return {"true": True, "1": True, "": False, "false": False, "0": False}[text.lower()]


def number(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and least <= int(text[:12]) <= most):
            raise ValueError(text)
        return int(text)

    return parse


seconds = number(0, 7 * 24 * 3600)


def words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def one_of(*choices: str) -> Callable[[str], str]:
    """One of the choices; an empty text is the first one."""
    return lambda text: {choice: choice for choice in choices}[text or choices[0]]


def rate(default: str) -> Callable[[str], tuple[int, int] | None]:
    """How many in how many seconds, written as `6000/minute` or `20/15 minutes`; None for `off` or 0."""

    def parse(text: str) -> tuple[int, int] | None:
        text = text.strip().lower() or default
        if text in ("off", "0"):
            return None
        found = re.fullmatch(r"([1-9][0-9]{0,11})/(?:([1-9][0-9]{0,3}) )?(second|minute|hour|day)s?", text)
        if found is None:
            raise ValueError(text)
        unit = {"second": 1, "minute": 60, "hour": 3600, "day": 24 * 3600}[found[3]]
        return int(found[1]), int(found[2] or 1) * unit

    return parse


def secret_key(text: str) -> str:
    """As strong as Django's own deployment check asks for."""
    if not text:
        raise ImproperlyConfigured("Set the SECRET_KEY environment variable")
    if len(text) < 50 or len(set(text)) < 5:
        raise ImproperlyConfigured("SECRET_KEY is too weak: it needs 50 characters, and 5 different ones")
    return text


# In small letters, as browsers send it.
ORIGIN = re.compile(r"https?://(\*\.)?([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


def origins(text: str) -> list[str]:
    if wrong := [word for word in words(text) if not ORIGIN.fullmatch(word)]:
        raise ValueError(wrong)
    return words(text)


def exact_origins(text: str) -> list[str]:
    if "*" in text:
        raise ValueError(text)
    return origins(text)


def hosts(text: str) -> list[str]:
    if not words(text):
        raise ValueError(text)
    return words(text)
