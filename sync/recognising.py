"""Telling the items of a body that come again, byte for byte, before anything is decoded.

A row remembers the bytes of the item that wrote it last (pieces.content.sent_digest). An item of the same bytes says
what the row says already, as long as nobody has written the row since: it is unchanged. What is left of the body goes
the usual way; and so does all of it, if anything in it turns out to be wrong.
"""

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from pieces.content import content_of, sent_digest
from pieces.models import Entity
from pieces.querysets import fetched
from ractory.api.errors import Fault, Unprocessable
from sync.engine import Outcome
from sync.planning import Action
from sync.schemas import max_items

SAMPLE = 16  # items that are tried first: where none of them comes again, hardly any will


@dataclass(frozen=True, slots=True)
class Recognised:
    """A body, apart from the items in it that are known to be unchanged."""

    unchanged: Mapping[int, uuid.UUID]  # their guids, by their index in the body
    rest: bytes  # a body of the others
    sent: Sequence[bytes]  # the bytes of each of the others; none, if the body could not be taken apart

    def with_rest(self, outcome: Outcome) -> Outcome:
        """The outcome of the whole body, that of the rest given. Raises 422 if a guid is in both."""
        if not self.unchanged:
            return outcome
        guids, others = self.unchanged, {guid.bytes for guid in outcome.guids if guid}
        if not others.isdisjoint(guid.bytes for guid in guids.values()):
            raise Unprocessable([Fault(("body",), "A guid stands there twice", "guid_duplicate")])
        rest = zip(outcome.guids, outcome.actions, strict=True)
        pairs = [
            (guids[index], Action.UNCHANGED) if index in guids else next(rest)
            for index in range(len(guids) + len(outcome.guids))
        ]
        return Outcome([guid for guid, _ in pairs], [action for _, action in pairs], Counter(a for _, a in pairs))


def recognise(model: type[Entity], raw: bytes) -> Recognised:
    """What of the body `{"<plural>": [item, …]}` is stored as it is; asks the database twice at most."""
    try:
        items = [bytes(item) for item in getattr(_splitter(model).decode(raw), model.plural)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Recognised({}, raw, ())
    tried = range(0, len(items), len(items) // SAMPLE + 1)
    unchanged = _unchanged(model, items, tried) if len(items) <= max_items(model) else {}
    if unchanged and len(tried) < len(items):
        unchanged = _unchanged(model, items, range(len(items)))
    if not unchanged:
        return Recognised({}, raw, items)
    try:  # of a list that stands twice the first one has been skipped, not read
        raw.decode()
    except UnicodeDecodeError:
        return Recognised({}, raw, ())
    sent = [item for index, item in enumerate(items) if index not in unchanged]
    return Recognised(unchanged, b'{"%b":[%b]}' % (model.plural.encode(), b",".join(sent)), sent)


@cache
def _splitter(model: type[Entity]) -> "msgspec.json.Decoder[Any]":
    body = msgspec.defstruct("Body", [(model.plural, list[msgspec.Raw])], forbid_unknown_fields=True)
    return msgspec.json.Decoder(body)


def _unchanged(model: type[Entity], items: Sequence[bytes], indexes: Iterable[int]) -> dict[int, uuid.UUID]:
    """Which of these items are stored as they are: their guids by index. None, where two items have one guid."""
    named = [(guid, index) for index in indexes if (guid := _guid_in(items[index]))]
    index_of = {guid.bytes: index for guid, index in named}
    if not named or len(index_of) < len(named):
        return {}
    rows = model.objects.filter(guid__any_of=[guid for guid, _ in named], sent_digest__isnull=False)
    content, found = content_of(model), {}
    for guid, digest in fetched(rows.values_list("guid", "sent_digest")):
        index = index_of[guid.bytes]
        if sent_digest(content, items[index]) == bytes(digest):
            found[index] = guid
    return found


class _Named(msgspec.Struct):
    guid: uuid.UUID | None = None


_decoder = msgspec.json.Decoder(_Named)


def _guid_in(item: bytes) -> uuid.UUID | None:
    """The item's guid, where the decoder of the batch finds it: not in a nested object, and the last of two."""
    try:
        return _decoder.decode(item).guid
    except msgspec.DecodeError:  # the batch's decoder will name it
        return None
