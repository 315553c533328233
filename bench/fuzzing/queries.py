"""Query strings: every parameter that the OpenAPI document knows, with fitting values and with others."""

import random
from base64 import urlsafe_b64encode
from collections import deque
from typing import Any
from urllib.parse import quote

import orjson

from bench.fuzzing.words import odd_text, odd_token
from bench.fuzzing.world import MARKERS, NAMES, World

MOMENTS = ("2026-05-01T10:00:00Z", "2026-05-01", "2020-01-01T00:00:00+02:00", "2099-01-01T00:00:00 02:00")
RAW = (
    "&",
    "=",
    "&&&",
    "%",
    "%zz",
    "%00",
    "%ff%fe",
    "%ed%a0%80",
    "+",
    ";",
    "&a[]=1&a[b]=2",
    "?x",
    "#x",
    "limit",
    "=1",
    "&limit=",
)


class Queries:
    """Query strings for one world, decided by `rng`."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.world, self.rng = world, rng
        # From answers: each company's own, to go on where a list ended.
        self.cursors = {company: deque(["WyJndWlkIl0"], maxlen=20) for company in ("", *NAMES)}

    def query(self, parameters: list[Any], company: str) -> str:
        """Some of the `parameters` (of the OpenAPI document), as a caller of `company` might send them."""
        rng = self.rng
        chosen = rng.sample(parameters, min(len(parameters), rng.choice((0, 0, 1, 1, 2, 3, 5))))
        pairs = [(parameter["name"], self.value(parameter, company)) for parameter in chosen]
        if pairs and rng.random() < 0.05:
            pairs.append(rng.choice(pairs))
        if rng.random() < 0.04:
            pairs.append((odd_text(rng), odd_text(rng)))
        if rng.random() < 0.001:
            pairs += [("limit", "1")] * 1500
        text = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in pairs)
        if rng.random() < 0.06:
            at = rng.randrange(len(text) + 1)
            text = text[:at] + rng.choice(RAW) + text[at:]
        return text

    def value(self, parameter: Any, company: str) -> str:
        rng, name, schema = self.rng, parameter["name"], parameter["schema"]
        if rng.random() < 0.2:
            return odd_text(rng)
        if name == "company_guid":
            named = company or rng.choice(NAMES)
            return str(self.world.companies[named if rng.random() < 0.85 else rng.choice(NAMES)])
        if name.endswith("_guid"):
            level = {"project_guid": "projects", "component_guid": "components"}.get(name, "assemblies")
            return rng.choice(
                self.world.guids[company or rng.choice(NAMES)][level][: 6 if rng.random() < 0.9 else None]
            )
        if name == "guid":
            known = self.world.guids[company or rng.choice(NAMES)]["pieces"]
            return ",".join(rng.choice(known) for _ in range(rng.choice((1, 1, 2, 200, 201))))
        if name in ("ordering", "fields"):
            return ",".join(rng.sample(schema["items"]["enum"], rng.choice((1, 1, 1, 2, 3, 4, 5))))
        if name == "cursor":
            return self._cursor(company)
        if name in ("limit", "offset"):
            return str(rng.choice((1, 2, 3, 10, 100, 0 if name == "offset" else 1, rng.randint(-2, 2**31), 1000)))
        if name in ("since", "updated_since"):
            return rng.choice(MOMENTS)
        return self._word(name, schema, company)

    def _word(self, name: str, schema: Any, company: str) -> str:
        if "enum" in schema:
            return str(self.rng.choice(schema["enum"]))
        if "anyOf" in schema:
            return self.rng.choice(("true", "false", "1", "0", "TRUE"))
        marker = MARKERS.get(company, "projects")
        if schema.get("type") == "array":
            return ",".join(f"{name}-{number} {marker}" for number in range(self.rng.choice((1, 2, 200, 201))))
        return self.rng.choice((f"{name}-1 {marker}", f"1 {marker}", "piece-1", marker, "", "x", "knows"))

    def _cursor(self, company: str) -> str:
        """One of a next link, or one made by hand, of any values."""
        rng = self.rng
        if rng.random() < 0.5:
            return rng.choice(self.cursors[company])
        keys = rng.choice(("guid", "-guid", "code,guid", "updated_at,guid", "piece_id,guid", "outer_length,guid", ""))
        values = [orjson.dumps(rng.choice(self.world.guids[company or "A"]["pieces"])), odd_token(rng), odd_token(rng)]
        place = b"[%s,%s]" % (orjson.dumps(keys), b",".join(values[: rng.choice((1, 2, 2, 3))]))
        return urlsafe_b64encode(place[:4000]).rstrip(b"=").decode()


def _quoted(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="")
