"""The faults of a sync in the words of people who write no programs: for the page of a run, and the edit form."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from pieces.models import LEVELS_BY_PLURAL, MAX_PICTURE

# By a fault's type, or by what that begins with, in place of its message; what was sent follows.
WORDS = {
    "missing": "This must be filled in",
    "int_type": "This is not a whole number",
    "int_range": "This number is too large or too small to be kept",
    "string_type": "This is not a text",
    "string_nul": "This holds a character that can't be kept (NUL)",
    "bool": "This is neither true nor false",
    "uuid": "This is not a guid",
    "datetime": "This is not a date with a time",
    "datetime_range": "This date is too far away to be kept",
    "base64": "This is not a picture as it should be sent (base64)",
    "bytes_too_long": f"The picture is too large: {MAX_PICTURE // 1024} KiB is the most",
    "dict_type": "This is no set of fields with their values",
    "guid_duplicate": "An item further up has the same guid",
    "json_invalid": "What was sent is damaged, or cut off: it is not JSON",
}
PLACE = re.compile(rf"\b({'|'.join(LEVELS_BY_PLURAL)})\[([0-9]+)\]")
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*+"?')  # matches at each quote, closed or not: so in one pass


def in_plain_words(fault: Mapping[str, Any]) -> str:
    """A fault as a receipt has it (`loc`, `msg`, `type`) in a sentence, with guids as they are; items count from 1.
    A message for which there are no other words stays as it is, but for what only programs read."""
    said, _, sent = fault["msg"].partition(", got ")  # a receipt keeps no more than the one text
    code = "missing" if sent == "null" else fault["type"]
    if fault["loc"][-1:] == ["picture"]:  # whose base64 nobody reads
        code, sent = code.replace("string_too_long", "bytes_too_long"), ""
    elif said.startswith("The body is not JSON"):
        code = "json_invalid"
    words = WORDS.get(code) or WORDS.get(code.partition("_")[0])
    words = words or re.sub("^(Input|String) should", "This should", said).replace("piece_id ", "piece id ")
    text = QUOTED.sub(_unescaped, f"{words}: {sent}" if sent not in ("", "null") else words)
    return PLACE.sub(lambda place: f"{LEVELS_BY_PLURAL[place[1]].kind} {int(place[2]) + 1}", text)


def _unescaped(quoted: "re.Match[str]") -> str:
    try:
        return f"“{orjson.loads(quoted[0])}”"
    except orjson.JSONDecodeError:  # cut in the middle of an escape
        return quoted[0]
