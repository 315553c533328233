"""Writers of one company that do all that a row can be through, slowly now and then, and in each other's way."""

import json
import random
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from typing import Any

Item = dict[str, Any]
PROJECTS, EACH = 6, 3  # that they share, and how many of each entity are below another one at first
PATHS = ("projects", "components", "assemblies", "pieces")


class World:
    """The entities that all writers know, by the paths of their levels; parents as they were sent last."""

    def __init__(self, company: str, seed: int) -> None:
        self.company = company
        self.items: dict[str, list[Item]] = {path: [] for path in PATHS}
        rng = random.Random(seed)  # no secret

        def guid() -> str:
            return str(uuid.UUID(int=rng.getrandbits(128)))

        for number in range(PROJECTS):
            project = self._add("projects", guid=guid(), code=f"P{number}")
            for _ in range(EACH):
                above = {"project_guid": project["guid"]}
                component = self._add("components", guid=guid(), code="C", **above)
                above |= {"component_guid": component["guid"]}
                assembly = self._add("assemblies", guid=guid(), **above)
                for _ in range(EACH):
                    self._add("pieces", guid=guid(), piece_id=guid(), assembly_guid=assembly["guid"], **above)

    def _add(self, path: str, **values: Any) -> Item:
        item = {**values, "company_guid": self.company}
        self.items[path].append(item)
        return item


class LateWriter(threading.Thread):
    """One writer, at one of the servers; counts what it was answered."""

    def __init__(self, world: World, port: Callable[[], int], key: str, rng: random.Random) -> None:
        super().__init__(name="writer")
        self.world, self.port, self.key, self.rng = world, port, key, rng
        self.statuses: Counter[str] = Counter()
        self.stopping = threading.Event()

    def run(self) -> None:
        ways = (self._change, self._change, self._insert, self._move, self._delete, self._restore, self._undo)
        while not self.stopping.is_set():
            with suppress(OSError, HTTPException):  # a server or a database that was killed
                self.rng.choice(ways)()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        late = self.rng.choices(["", "undo", str(self.rng.uniform(0, 0.4))], weights=[5, 1, 3])[0]
        headers = {"X-API-Key": self.key, "Content-Type": "application/json", "X-Late": late}
        with closing(HTTPConnection("127.0.0.1", self.port(), timeout=60)) as connection:
            connection.request(method, f"/api/v1/{path}", json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            answer = response.read()
        name = f"{method} {path.partition('/')[0]}: {response.status}"
        self.statuses[f"{name}, taken back" if b"taken back" in answer else name] += 1
        self.stopping.wait(0.2 if response.status == 503 else 0)
        return response

    def _sync(self, path: str, items: list[Item]) -> Any:
        return self.call("POST", f"sync/{path}", {path: items})

    def _some(self, path: str, most: int) -> list[Item]:
        return self.rng.sample(self.world.items[path], self.rng.randint(1, min(most, len(self.world.items[path]))))

    def _change(self) -> None:
        path = self.rng.choice(PATHS)
        field = {"projects": "company_name", "components": "designation"}.get(path, "trolley")
        mark = str(self.rng.getrandbits(32))
        self._sync(path, [{**item, field: mark} for item in self._some(path, 20)])

    def _insert(self) -> None:
        [above] = self._some("pieces", 1)
        fresh = ({"guid": str(uuid.uuid4()), "piece_id": str(uuid.uuid4())} for _ in range(self.rng.randint(1, 5)))
        new = [above | each for each in fresh]
        if self._sync("pieces", new).status == 200 and self.rng.random() < 0.3:
            self.world.items["pieces"] += new

    def _move(self) -> None:
        [component], [home] = self._some("components", 1), self._some("projects", 1)
        self._sync("components", [{**component, "project_guid": home["guid"]}])

    def _delete(self) -> None:
        path = self.rng.choice(PATHS)
        self.call("DELETE", f"{path}/{self._some(path, 1)[0]['guid']}")

    def _restore(self) -> None:
        for path in PATHS:
            self.call("POST", f"{path}/{self._some(path, 1)[0]['guid']}/restore")

    def _undo(self) -> None:
        """Of a run of its own; where there is no undo, a 404."""
        [item] = self._some("projects", 1)
        run = self._sync("projects", [{**item, "company_name": str(self.rng.getrandbits(32))}]).headers["X-Sync-Run"]
        if run:
            self.call("POST", f"sync/runs/{run}/undo")
