"""Rounds of requests, each in a world of its own; what is found is made small and written down, to be sent again."""

import hashlib
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.fuzzing.minimise import minimised
from bench.fuzzing.oracle import Oracle, writable
from bench.fuzzing.requests import Requests
from bench.fuzzing.surface import Surface
from bench.fuzzing.wire import Answer, Request
from bench.fuzzing.world import State, World
from pieces.integrity import broken_invariants
from tenants.scope import every_company

WATCHED = 0.02  # of the requests: whether they write where they may not
KEPT = 3  # examples of the same finding
NUMBER = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+")


@dataclass(frozen=True, slots=True)
class Finding:
    """A request that was answered as none may be."""

    complaint: str
    request: Request
    answer: Answer
    where: str  # seed, round and number
    is_alone: bool  # it is answered like that when sent again, too

    def __str__(self) -> str:
        again = "" if self.is_alone else "\n(only after what was sent before: run its round again)"
        answer = f"{self.answer.status} {self.answer.headers}\n{self.answer.body[:2000]!r}"
        return f"{self.complaint}\n{self.where}{again}\n{self.request}\n{answer}\n{self._log()[-3000:]}".rstrip()

    def _log(self) -> str:
        return "\n".join(self.answer.log)

    def save(self, folder: Path) -> Path:
        data: dict[str, Any] = {"complaint": self.complaint, "where": self.where, "request": self.request.as_json()}
        data |= {"status": self.answer.status, "headers": self.answer.headers, "log": self._log()[-20_000:]}
        text = json.dumps(data | {"body": self.answer.body[:1_000_000].decode("utf-8", "replace")}, indent=1)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
        path.write_text(text)
        return path


@dataclass(slots=True)
class Figures:
    """What was sent and answered."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    seconds: float = 0
    slowest: dict[str, float] = field(default_factory=dict)  # seconds, by endpoint
    checks: int = 0  # of the whole database's integrity
    watched: int = 0  # requests before and after which the rows were compared
    found: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return self.answers.total()


class Campaign:
    """Requests to a database that is its own; `tell` hears of each finding at once."""

    def __init__(self, seed: int, *, tell: Callable[[Finding], None] = lambda finding: None) -> None:
        self.seed, self.tell = seed, tell
        self.world, self.surface, self.figures = World(), Surface(), Figures()

    def round(self, number: int, count: int) -> None:
        """`count` requests, decided by the seed and the round's number, on the world as it is."""
        rng = random.Random(f"{self.seed}/{number}")
        requests, oracle = Requests(self.world, self.surface, rng), Oracle(self.world, self.surface)
        watch = random.Random(rng.random())
        started = time.perf_counter()
        for index in range(count):
            request = requests.next()
            before = self.world.state() if watch.random() < WATCHED else None
            answer, complaints = self._send(oracle, request, before)
            self.figures.answers[oracle.endpoint(request), answer.status] += 1
            requests.learn(request, answer)
            for complaint in complaints:
                self._note(oracle, complaint, request, answer, f"seed {self.seed}, round {number}, request {index}")
        self._check_integrity(f"seed {self.seed}, round {number}")
        self.figures.seconds += time.perf_counter() - started

    def _send(self, oracle: Oracle, request: Request, before: State | None) -> tuple[Answer, list[str]]:
        started = time.perf_counter()
        answer = self.world.application.send(request)
        endpoint, took = oracle.endpoint(request), time.perf_counter() - started
        self.figures.slowest[endpoint] = max(took, self.figures.slowest.get(endpoint, 0))
        complaints = list(oracle.complaints(request, answer))
        if before is not None:
            self.figures.watched += 1
            complaints += self._written(request, answer, before)
        return answer, complaints

    def _written(self, request: Request, answer: Answer, before: State) -> list[str]:
        after, allowed = self.world.state(), writable(request, answer, self.world.callers[request.caller], self.world)
        changed = {company for company in before.keys() | after.keys() if before.get(company) != after.get(company)}
        return [f"written: {company} was changed by a {answer.status}" for company in sorted(changed - allowed)]

    def _check_integrity(self, where: str) -> None:
        with every_company():
            broken = {name: count for name, count in broken_invariants().items() if count}
        self.figures.checks += 1
        if broken:
            nothing = Request(method="-", path="", caller="nobody")
            self._keep(Finding(f"integrity: {broken}", nothing, Answer(0, [], b""), where, False))

    def _note(self, oracle: Oracle, complaint: str, request: Request, answer: Answer, where: str) -> None:
        if self.figures.found[_name(complaint, answer)] >= KEPT:
            self.figures.found[_name(complaint, answer)] += 1
            return
        rule = complaint.partition(":")[0]

        def fails(candidate: Request) -> bool:
            before = self.world.state() if rule == "written" else None
            answer, complaints = self._send(oracle, candidate, before)
            return any(_name(found, answer) == _name(complaint, answer) for found in complaints)

        small = minimised(request, fails)
        self._keep(Finding(complaint, small or request, answer, where, small is not None))

    def _keep(self, finding: Finding) -> None:
        self.figures.found[_name(finding.complaint, finding.answer)] += 1
        self.figures.findings.append(finding)
        self.tell(finding)


def _name(complaint: str, answer: Answer) -> str:
    """The same for the same fault: the complaint without numbers, and the line of the exception."""
    last = "\n".join(answer.log).rstrip().rpartition("\n")[2]
    return NUMBER.sub("#", f"{complaint} {last}")[:200]


def replay(world: World, finding: dict[str, Any]) -> tuple[Answer, list[str]]:
    """The answer to a saved finding's request in a new world, and what is wrong with it."""
    request = Request.from_json(finding["request"])
    before = world.state()
    answer = world.application.send(request)
    complaints = list(Oracle(world, Surface()).complaints(request, answer))
    after, allowed = world.state(), writable(request, answer, world.callers[request.caller], world)
    return answer, complaints + [
        f"written: {company}"
        for company in sorted(before.keys() | after.keys())
        if before.get(company) != after.get(company) and company not in allowed
    ]
