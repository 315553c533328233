"""What an entity says, apart from whose it is and where it hangs, and the digest that stands for it: an unchanged item
is recognised without reading its row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from operator import itemgetter
from typing import Any

import orjson

from pieces.models import DIGEST_SIZE, Entity, Pictured


@dataclass(frozen=True, slots=True)
class Content:
    """The content fields of a model, sorted by name, so that the order of declaration does not matter."""

    names: tuple[str, ...]  # a picture takes part by its digest: `picture_digest`, the last
    pick: Callable[[dict[str, Any]], tuple[Any, ...]]  # the values of `names`, out of a dict that has them all
    blank: dict[str, Any]  # what a new row has where nothing was said
    defaults: tuple[tuple[str, Any], ...]  # those of it that are not null
    begun: Any  # BLAKE2b of how a digest begins when all but the picture is there
    version: bytes  # 16 bytes; another one as soon as the model has other fields


@cache
def content_of(model: type[Entity]) -> Content:
    relations = {"guid", "company_guid", "is_active", *model.parent_columns()}
    fields = [field for field in model.settable_fields() if field.attname not in relations]
    blank = {field.attname: field.get_default() if field.has_default() else None for field in fields}
    if issubclass(model, Pictured):
        del blank["picture"]
        blank["picture_digest"] = None
    names = tuple(sorted(blank, key=lambda name: (name == "picture_digest", name)))
    defaults = tuple((name, blank[name]) for name in names if blank[name] is not None)
    begun = blake2b(orjson.dumps(names[:-1]), digest_size=DIGEST_SIZE)
    version = hashed(repr((names, defaults)).encode())
    return Content(names, itemgetter(*names), blank, defaults, begun, version)


def digest_of(content: Content, values: Sequence[Any]) -> bytes:
    """16 bytes of BLAKE2b over the names and the values of what is not as in a new row. Leaving that out keeps the
    digests of old rows valid when a model gains an optional field."""
    if values[-1] is None and not content.defaults:
        written = orjson.dumps(values[:-1], option=orjson.OPT_UTC_Z)
        if b"null" not in written:  # the common piece: everything but a picture. The same digest, in half the time
            digest = content.begun.copy()
            digest.update(written)
            return bytes(digest.digest())
    said = {name: value for name, value in zip(content.names, values, strict=True) if value is not None}
    for name, default in content.defaults:
        if name not in said:
            said[name] = None
        elif said[name] == default:
            del said[name]
    written = orjson.dumps(list(said.values()), default=lambda picture: bytes(picture).hex(), option=orjson.OPT_UTC_Z)
    return hashed(orjson.dumps(list(said)) + written)


def sent_digest(content: Content, sent: bytes) -> bytes:
    """16 bytes that stand for the bytes of the item that wrote a row last; whoever else writes the row clears them."""
    return blake2b(sent, digest_size=DIGEST_SIZE, person=content.version).digest()


def hashed(data: bytes) -> bytes:
    return blake2b(data, digest_size=DIGEST_SIZE).digest()
