"""Bodies of the sync endpoints: batches that are right, and then less and less so."""

import random
from collections import deque
from collections.abc import Callable
from typing import Any

import orjson

from bench.fuzzing.words import SCALARS, STRINGS, mutated, odd_text, odd_token
from bench.fuzzing.world import MARKERS, NAMES, PARENTS, SINGULAR, World
from pieces.models import LEVELS, Entity

MODELS: dict[str, type[Entity]] = {model.plural: model for model in LEVELS}
Fields = list[tuple[bytes, bytes]]  # names and values as they stand in the body: a name may come twice


class Bodies:
    """Batches for one world, decided by `rng`."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.world, self.rng = world, rng
        # By company: a marker must not get into another one's body.
        self.seen = {company: deque([b'{"pieces":[]}'], maxlen=50) for company in ("", *NAMES)}
        self.deformations: tuple[tuple[int, Callable[[str, Fields], None]], ...] = (
            (8, self._odd_value),
            (2, self._drop),
            (2, self._unknown),
            (2, self._twice),
            (2, self._swap),
            (4, self._other_guid),
            (1, self._rename),
        )

    def batch(self, level: str, company: str) -> bytes:
        """A body for the level; `company` is "" for a caller of every company. One in four is left as it should be."""
        rng, fate = self.rng, self.rng.random()
        items = [self.item(level, company or rng.choice(NAMES), bool(company)) for _ in range(self._count())]
        if 0.25 < fate < 0.8:
            for _ in range(rng.choice((1, 1, 2, 3))):
                if items:
                    self._deform(level, rng.choice(items))
        raw = self._body(level, items)
        self.seen[company].append(raw)
        return mutated(rng, raw, self.seen[company]) if fate > 0.72 else raw

    def _count(self) -> int:
        number = self.rng.random()
        return 1001 if number < 0.0003 else 120 if number < 0.001 else self.rng.choice((0, 1, 1, 1, 2, 2, 3, 4, 5))

    def _body(self, level: str, items: list[Fields]) -> bytes:
        array = b"[" + b",".join(b"{" + b",".join(b":".join(pair) for pair in item) + b"}" for item in items) + b"]"
        number = self.rng.random()
        if number < 0.94:
            return b'{"%s":%s}' % (level.encode(), array)
        shapes = (
            lambda: array,
            lambda: b'{"%s":%s,"%s":%s}' % (level.encode(), array, level.encode(), odd_token(self.rng)),
            lambda: b'{"%s":%s}' % (level.encode(), odd_token(self.rng)),
            lambda: b'{"%s":[%s]}' % (level.encode(), odd_token(self.rng)),
            lambda: b'{"%s":%s}' % (self.rng.choice(list(MODELS)).encode(), array),
            lambda: b'{%s,"%s":%s}' % (self._pair("more", odd_token(self.rng)), level.encode(), array),
            lambda: odd_token(self.rng),
        )
        return self.rng.choice(shapes)()

    def _pair(self, name: str, value: bytes) -> bytes:
        return orjson.dumps(name) + b":" + value

    def item(self, level: str, company: str, has_marker: bool) -> Fields:
        """A row of the pool, with parents that fit and some optional fields."""
        rng, guids = self.rng, self.world.guids[company][level]
        item = self.world.item(company, level, rng.randrange(len(guids)))
        if not has_marker:
            item = {name: "x" if MARKERS[company] in str(value) else value for name, value in item.items()}
        optional = [column for column in MODELS[level].settable_fields() if column.attname not in item]
        for column in rng.sample(optional, min(len(optional), rng.choice((0, 1, 3, 8)))):
            item[column.attname] = self._value(column, company if has_marker else "")
        if level == "pieces" and rng.random() < 0.2:
            item["piece_id"] = f"piece-{rng.randrange(20)}"
        if rng.random() < 0.06:
            item.pop("guid")
        if "is_active" in item and rng.random() < 0.6:
            item["is_active"] = True
        return [(orjson.dumps(name), orjson.dumps(value)) for name, value in item.items()]

    def _value(self, column: Any, company: str) -> Any:
        rng, kind = self.rng, column.get_internal_type()
        if column.is_relation:
            place = rng.randrange(3)
            return self.world.guids[company or rng.choice(NAMES)][level_of(column.name)][place]
        if rng.random() < 0.15:
            return None
        if kind == "IntegerField":
            return rng.choice((0, 1, 1200, -5, 2**31 - 1, 1200.0, "1200"))
        if kind == "BooleanField":
            return rng.random() < 0.7
        if kind == "DateTimeField":
            return rng.choice(("2026-05-01T10:00:00Z", "2026-05-01", "2026-05-01T10:00:00.123456+02:00"))
        if kind == "BinaryField":
            return rng.choice(("", "aGFsbG8=", "QUFB" * 200))
        return f"{MARKERS.get(company, '')} {rng.choice(('', 'x', 'Größe', '😀', 'a' * 100))}"[: column.max_length]

    def _deform(self, level: str, item: Fields) -> None:
        weights = [weight for weight, _ in self.deformations]
        [(_, deform)] = self.rng.choices(self.deformations, weights)
        deform(level, item)

    def _at(self, item: Fields) -> int:
        return self.rng.randrange(len(item))

    def _odd_value(self, level: str, item: Fields) -> None:
        """Half of them of the field's own type, so that they get far."""
        if self.rng.random() < 0.7:
            column = self.rng.choice(MODELS[level].settable_fields())
            is_scalar = column.get_internal_type() in ("IntegerField", "BooleanField")
            fitting = self.rng.choice(SCALARS if is_scalar else STRINGS)
            item.append((orjson.dumps(column.attname), fitting if self.rng.random() < 0.7 else odd_token(self.rng)))
        elif item:
            at = self._at(item)
            item[at] = (item[at][0], odd_token(self.rng))

    def _drop(self, level: str, item: Fields) -> None:
        if item:
            del item[self._at(item)]

    def _unknown(self, level: str, item: Fields) -> None:
        text = odd_text(self.rng).encode("utf-8", "surrogatepass").replace(b'"', b"").replace(b"\\", b"")
        names = (b'"created_at"', b'"deletion_guid"', b'"digest"', b'"__proto__"', b'"guid\\u0000"', b'"' + text + b'"')
        item.append((self.rng.choice(names), odd_token(self.rng)))

    def _twice(self, level: str, item: Fields) -> None:
        if item:
            name, value = item[self._at(item)]
            item.append((name, self.rng.choice((value, odd_token(self.rng)))))

    def _swap(self, level: str, item: Fields) -> None:
        if item:
            one, other = self._at(item), self._at(item)
            (name, value), (other_name, other_value) = item[one], item[other]
            item[one], item[other] = (name, other_value), (other_name, value)

    def _other_guid(self, level: str, item: Fields) -> None:
        """Another row's, another level's, or another company's guid, wherever there is one."""
        places = [at for at, (name, _) in enumerate(item) if name.endswith(b'guid"')]
        if places:
            at, company = self.rng.choice(places), self.rng.choice(NAMES)
            guid = self.rng.choice(self.world.guids[company][self.rng.choice(list(PARENTS))])
            if item[at][0] == b'"company_guid"' and self.rng.random() < 0.9:
                guid = str(self.world.companies[company])
            item[at] = (item[at][0], orjson.dumps(guid))

    def _rename(self, level: str, item: Fields) -> None:
        if item:
            at = self._at(item)
            item[at] = (item[at][0][:-1] + b'_"', item[at][1])


def level_of(relation: str) -> str:
    return next(plural for plural, singular in SINGULAR.items() if singular == relation)
