"""The errors that this API raises, and the faults that a 422 lists. ractory.api.envelope shapes them."""

import json
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rest_framework import status
from rest_framework.exceptions import APIException

from ractory.api.redaction import cut, redacted

MAX_LISTED = 100
MAX_ECHO = 100  # characters of what a client sent that come back, and are kept (contract, "Conventions")
MAX_MESSAGE = 500  # characters; the values in it are cut before, so this is for what nobody has thought of

Mentions = Mapping[uuid.UUID, str]  # the entities that a message names: their guids, each with its kind
Kinds = Mapping[tuple[str, str], int]  # how many faults there are by field and type


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a request: where (`loc`), said to a person (`msg`), said to a program (`type`)."""

    loc: tuple[str | int, ...]
    msg: str
    type: str
    mentions: Mentions = field(default_factory=dict)
    item: str = ""  # by what people know the item

    @property
    def kind(self) -> tuple[str, str]:
        return self.loc[-1] if isinstance(self.loc[-1], str) else "", self.type

    def as_wire(self) -> dict[str, Any]:
        loc = [echoed(part) if isinstance(part, str) else part for part in self.loc]
        return {"loc": loc, "msg": redacted(self.msg[:MAX_MESSAGE]), "type": self.type}

    def as_record(self) -> dict[str, Any]:
        """As a receipt keeps it: with what its message mentions and the name of its item, which are not on the wire."""
        more = {"mentions": {str(guid): kind for guid, kind in self.mentions.items()}, "item": echoed(self.item)}
        return self.as_wire() | {name: value for name, value in more.items() if value}


class Unprocessable(APIException):
    """422 with every fault of the request. `faults` are as they go over the wire, the first 100, then one entry that
    says how many more; `found` all that were given, of `total`; `kinds` says of all how many there are of each kind;
    `ignored` the unknown fields. Its detail is the first fault's message."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY

    def __init__(self, faults: Sequence[Fault], kinds: Kinds | None = None, *, ignored: Sequence[str] = ()) -> None:
        super().__init__(faults[0].msg if faults else None)
        self.ignored, self.found = ignored, tuple(faults)
        self.kinds = Counter(fault.kind for fault in faults) if kinds is None else Counter(kinds)
        self.total = self.kinds.total()
        self.faults = [fault.as_wire() for fault in faults[:MAX_LISTED]]
        if self.total > MAX_LISTED:
            rest = Fault(faults[0].loc[:1], f"… and {self.total - MAX_LISTED} more faults", "too_many_faults")
            self.faults.append(rest.as_wire())

    def records(self) -> dict[str, Any]:
        """What a receipt says of the faults: the first of them, how many of each kind with an example, and how many."""
        first = {fault.kind: fault.as_record() for fault in reversed(self.found)}
        kinds = [first[kind] | {"count": count} for kind, count in self.kinds.most_common() if kind in first]
        faults = [fault.as_record() for fault in self.found[:MAX_LISTED]]
        return {"faults": faults, "kinds": kinds[:MAX_LISTED], "fault_count": self.total}


class TooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE


class Unavailable(APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = "The database does not answer. Send the request again later."
    wait = 5  # seconds; becomes Retry-After


class TimedOut(Unavailable):
    """503: PostgreSQL has cut a statement off (ractory.api.timeouts)."""

    default_detail = (
        "The database took too long for this, or waited too long for others who hold the same rows. "
        "Nothing was written. Send the request again later."
    )


class BeingMoved(Unavailable):
    default_detail = "The company is being moved to another server. Nothing was written. Send the request again later."


class Moved(APIException):
    """308: the company is on another server now; `location` is this request's address there."""

    status_code = status.HTTP_308_PERMANENT_REDIRECT

    def __init__(self, location: str) -> None:
        super().__init__(f"The company has moved to {location.partition('/api/')[0]}. Use that address.")
        self.headers = {"Location": location}


class Gone(APIException):
    """410: it was there, and is not kept any more."""

    status_code = status.HTTP_410_GONE


class Conflict(APIException):
    """409. `more` stands beside the `detail` in the answer."""

    status_code = status.HTTP_409_CONFLICT

    def __init__(self, detail: str | None = None, mentions: Mentions | None = None, **more: Any) -> None:
        super().__init__(detail)
        self.mentions, self.more = mentions or {}, more


class ConflictRetry(Conflict):
    """409 for a clash with other writers that a later try will not meet."""

    default_detail = "Other requests kept changing the same rows. Nothing was written; send it again."
    wait = 1  # seconds; becomes Retry-After


def echoed(text: str) -> str:
    """What a client sent, as far as it may come back and be kept: the first 100 characters, no key or token in them."""
    return redacted(text[: 10 * MAX_ECHO])[:MAX_ECHO]  # a token is longer than what is left of it


def shown(value: object) -> str:
    """The offending value as a message names it: short, on one line, whatever the client sent."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if not isinstance(value, str):
        return cut(json.dumps(value, default=str), MAX_ECHO)
    text = json.dumps(echoed(value))[1:-1]
    more = "…" if len(text) > MAX_ECHO or len(value) > MAX_ECHO else ""
    return f'"{text[:MAX_ECHO]}{more}"'
