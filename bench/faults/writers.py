"""Clients under fire: each sends batch after batch, runs into faults on purpose, and checks what became of each.

After an attempt without an answer the batch must be there whole or not at all; then it is sent again under its key
until the server answers, with the bytes that it answered first, if any got out of it. Some batches are then undone, and
some of these undos too, in the same way.
"""

import json
import random
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from bench.faults.database import Database
from bench.faults.figures import Figures
from bench.faults.workload import Batch, Workload
from client.ractory_client import Answer, Client, Dropped

PREFER = "return=representation"
AGAIN = 0.2  # of the batches without a fault are sent once more, and of those that are undone
UNDOING = 0.25  # of the batches are followed by the undo of one
# Of all first attempts, in percent.
HEADER_FAULTS = {"worker": 6.0, "soon": 2.0, "backend": 1.5}
POINTS = ("parsed", "claimed", "planned", "updated", "inserted", "written", "committed")
UNDO_POINTS = ("planned", "updated", "receipt", "undone")


@dataclass(frozen=True, slots=True)
class Routes:
    """Clients by way to the server: "direct", and by proxies "swallow", "half" and "cut"; and what the proxies lost."""

    clients: Mapping[str, Client]
    lost: Mapping[str, Mapping[str, bytes]]
    proxied: float = 3.0  # percent of the attempts by each


class Writer(threading.Thread):
    """Sends its workload until told to stop, and remembers what was acknowledged and what refused."""

    def __init__(
        self, workload: Workload, routes: Routes, database: Database, figures: Figures, rng: random.Random
    ) -> None:
        super().__init__(name=workload.name)
        self.workload, self.routes, self.database, self.figures = workload, routes, database, figures
        self.rng = rng
        self.ledger: list[Batch] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                batch = self.workload.next()
                self.ledger.append(batch)
                self._deliver(batch)
                self.figures.count("batches")
                self.figures.count(f"batches: {batch.kind}")
                self.figures.count("items", len(batch.items))
                if self.rng.random() < UNDOING:
                    self._undo_one(batch)
        except Exception as error:
            self.figures.complain("a client broke off", f"{batch.key}: {type(error).__name__}: {error}")
        finally:
            for client in self.routes.clients.values():
                client.connection.close()

    def _deliver(self, batch: Batch) -> None:
        answers: list[bytes] = []  # all of them 200s to this batch, whether they arrived or not
        faulted = False
        while (fault := self._fault()) is not None:
            faulted = True
            self._note(batch, self._attempt(batch, *fault), answers)
        client = self.routes.clients["direct"]
        answer, attempts = client.insist(lambda: self._watched(batch))
        self._note(batch, answer, answers)
        if answer.status != (422 if batch.refused else 200):
            self.figures.complain("an answer is wrong", f"{batch.key} ({batch.kind}): {answer.status} {answer.body!r}")
        elif not batch.refused:
            batch.runs.append(answer.headers["x-sync-run"])
        self._check_presence(batch, {batch.whole})
        if not batch.refused and (faulted or attempts > 1 or self.rng.random() < AGAIN):
            self._check_repeat(batch, answers)

    def _undo_one(self, batch: Batch) -> None:
        """This batch, or an earlier one whose rows nobody else writes; and sometimes that undo in turn."""
        earlier = [past for past in self.ledger if past.runs and past.inserts]
        if not batch.runs or (earlier and self.rng.random() < 0.5):
            batch = self.rng.choice(earlier or [batch])
        if not batch.runs:
            return
        for _ in range(self.rng.choice((1, 1, 2, 3))):
            self._undo(batch)
        if self.rng.random() < AGAIN:
            self._check_repeat(batch, [])

    def _undo(self, batch: Batch) -> None:
        """Takes back the batch or, if it is undone, the undo: once, whatever becomes of the answers.

        There is no key for that: who lost the answer finds the receipt by the id of the request, and a second undo of
        the same run is a 409.
        """
        client, sent_as, answers = self.routes.clients["direct"], f"{batch.key}-undo-{len(batch.runs)}", list[int]()
        while (fault := self._fault(UNDO_POINTS)) is not None:
            with suppress(Dropped):
                self._attempt_undo(batch, sent_as, answers, *fault)
        answer, _ = client.insist(lambda: self._attempt_undo(batch, sent_as, answers))
        ask = f"/api/v1/sync/runs?operation=undo&status=succeeded&request_id={sent_as}"
        receipts = json.loads(client.insist(lambda: client.attempt("GET", ask), 200)[0].body)
        batch.runs += [receipt["guid"] for receipt in receipts]
        self._check_undone(batch, {batch.is_undone})
        if batch.contested and not receipts:
            self.figures.count("undos: refused, others have written since")
            is_right = answer.status == 409 and len(json.loads(answer.body)["conflicts"]) == len(batch.items)
        else:
            self.figures.count("undos" if batch.is_undone else "undos of undos")
            is_right = len(receipts) == 1 and (answer.status == 200 or b"undone already" in answer.body)
        if not is_right or answers.count(200) > 1 or answers == [409] * bool(receipts):
            told = f"{sent_as}: {answers}, {len(receipts)} receipts, {answer.body!r}"
            self.figures.complain("an undo is wrong", told)

    def _attempt_undo(
        self, batch: Batch, sent_as: str, answers: list[int], way: str = "direct", fault: str = ""
    ) -> Answer:
        """One attempt, its status in `answers`, 0 if there is none: then all of it must be done, or nothing."""
        headers, path = {"X_Fault": fault} if fault else {}, f"/api/v1/sync/runs/{batch.runs[-1]}/undo"
        try:
            answer = self.routes.clients[way].attempt("POST", path, None, X_Request_ID=sent_as, **headers)
            answers.append(answer.status)
        except Dropped:
            answers.append(0)
            raise
        finally:
            if answers[-1] == 0 or answers[-1] >= 500:
                self.figures.count("undos: no answer, or a 503")
                self._check_undone(batch, {False, True})
        return answer

    def _check_undone(self, batch: Batch, allowed: set[bool]) -> None:
        """Its rows are all as it left them, or all as they were before: as `allowed` says of its being undone."""
        both, whole = f"SELECT ({batch.probe}), ({batch.probe})", batch.whole
        [found] = self.database.rows(both, [*batch.written, *batch.taken_back])
        expected = {(0, whole) if is_undone else (whole, 0) for is_undone in allowed}
        if found not in ({(whole, whole)} if batch.contested else expected):
            promise = "lost" if sorted(found) == [0, whole] else "torn"
            self.figures.complain(promise, f"undo of {batch.key} ({batch.kind}): {found} not in {expected}")

    def _fault(self, points: Sequence[str] = POINTS) -> tuple[str, str] | None:
        """The way and the X-Fault header of an attempt that is to go wrong, or None."""
        roll = self.rng.uniform(0, 100)
        for target, share in HEADER_FAULTS.items():
            roll -= share
            if roll < 0:
                return "direct", f"{self.rng.choice(points)} {target}"
        for way in self.routes.lost:
            roll -= self.routes.proxied
            if roll < 0:
                return way, ""
        return None

    def _attempt(self, batch: Batch, way: str, fault: str = "") -> Answer | None:
        """One attempt; None if no answer came."""
        headers = {"X_Fault": fault} if fault else {}
        if way != "direct":
            self.figures.count(f"proxied: {way}")
        try:
            return self.routes.clients[way].post(batch.path, batch.body, batch.key, Prefer=PREFER, **headers)
        except Dropped:
            return None

    def _watched(self, batch: Batch) -> Answer:
        """An attempt whose failure is looked into before it is made good."""
        answer = self._attempt(batch, "direct")
        if answer is None:
            self._note(batch, None, [])
            raise Dropped("the connection broke")
        if answer.is_transient:
            self._note(batch, answer, [])
        return answer

    def _note(self, batch: Batch, answer: Answer | None, answers: list[bytes]) -> None:
        """Counts an attempt's end; an unknown one must be all or nothing."""
        self.figures.count("requests")
        for lost in (self.figures.answer_before_death(batch.key), *(lost.get(batch.key) for lost in self._all_lost())):
            if lost is not None and lost not in answers:
                answers.append(lost)
        if answer is not None and answer.status == 200:
            self.figures.count("replayed" if "idempotent-replayed" in answer.headers else "answered by the first")
            answers.append(answer.body)
        elif answer is None or answer.status >= 500:
            if answer is not None and answer.status != 503:
                self.figures.complain("a 5xx that is no 503", f"{batch.key}: {answer.status} {answer.body!r}")
            self.figures.count("unknown: no answer" if answer is None else f"unknown: {answer.status}")
            found = self._check_presence(batch, {batch.before, batch.whole})
            if not batch.contested and not batch.refused:
                self.figures.count("unknown, then found whole" if found else "unknown, then found absent")
        elif answer.status == 409:
            self.figures.count("409, retried")
        if len(set(answers)) > 1:
            self.figures.complain("answers to one key differ", f"{batch.key}: {sorted(set(answers))!r}")

    def _all_lost(self) -> list[Mapping[str, bytes]]:
        return list(self.routes.lost.values())

    def _check_presence(self, batch: Batch, allowed: set[int]) -> int:
        [(found,)] = self.database.rows(batch.probe, batch.shown)
        if found not in allowed:
            self.figures.complain(_promise(found, batch), f"{batch.key} ({batch.kind}): {found} not in {allowed}")
        return int(found)

    def _check_repeat(self, batch: Batch, answers: list[bytes]) -> None:
        client = self.routes.clients["direct"]
        answer, _ = client.insist(lambda: self._watched(batch))
        self._note(batch, answer, answers)
        if answer.status != 200 or answer.headers.get("idempotent-replayed") != "true":
            self.figures.complain("a repeat is not replayed", f"{batch.key}: {answer.status} {answer.body!r}")
        self._check_presence(batch, {batch.whole})


def _promise(found: int, batch: Batch) -> str:
    if batch.refused:
        return "refused, yet written"
    if found > batch.whole:
        return "doubled"
    return "lost" if found == 0 else "torn"
