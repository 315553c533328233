"""A reference client for Ractory's sync: pushes streams of any size, each batch exactly once; standard library only.

Copy this one file (Python >= 3.11), or run it; for --complete have ractory_complete.py beside it:

    RACTORY_KEY=rfk_… python ractory_client.py https://ractory.example pieces pieces.ndjson --journal pieces.journal
    RACTORY_KEY=rfk_… python ractory_client.py https://ractory.example undo --journal pieces.journal

It reads one JSON object a line. Exit code 0: all was done; 1: items were refused, or written since, each is named; 2:
the command, the file or the key is wrong; 3: the server was away for too long, run it again. How it keeps its promise:

- Each batch has an Idempotency-Key of the stream's id, its number and its content: sent again, as it is after a dropped
  connection, a timeout, 408, 429, 5xx, or 409 with Retry-After, it is not written twice.
- The journal (an SQLite file) notes each batch before it is sent and once it is answered. With it a push that crashed
  goes on: a batch that was under way is sent again only if the server has no receipt of it. Each delivery has its own.
- Without a journal, beyond 24 hours: items with a `guid` may be repeated whenever, pieces without one with
  `match_piece_id=True` (`?match=piece_id`); others would be inserted again.
"""

import argparse
import email.utils
import gzip
import hashlib
import http.client
import json
import os
import random
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

Item = Mapping[str, Any]
Sleep = Callable[[float], None]

LIMITS = {"projects": 5000, "components": 5000, "assemblies": 5000, "pieces": 1000}
MAX_BYTES = 16 * 1024 * 1024  # of a batch's JSON; the server takes twice that
RECEIPT = "/api/v1/sync/runs?status=succeeded&limit=1&idempotency_key="


class ClientError(Exception):
    """Anything that ends a push; what was acknowledged until then is in the journal."""


class Dropped(ClientError):
    """No whole answer came: what was sent may have been written or not."""


class GaveUp(ClientError):
    """The server did not get a batch done for `Retry.patience` seconds. Push again later, with the journal."""


class Rejected(ClientError):
    """An answer that every batch would get: a wrong key, a missing scope, a wrong address."""


class StreamChanged(ClientError):
    """The stream is not the one that the journal knows."""


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def retry_after(self) -> float | None:
        """Seconds; None without the header (RFC 9110, 10.2.3: a number of seconds, or a date)."""
        if (text := self.headers.get("retry-after", "").strip()).isdecimal():
            return float(text)
        with suppress(ValueError):
            return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
        return None

    @property
    def is_transient(self) -> bool:
        return self.status in (408, 429) or self.status >= 500 or (self.status == 409 and self.retry_after is not None)

    @property
    def detail(self) -> Any:
        """The decoded `detail` of an error; its text if a proxy answered something else."""
        with suppress(ValueError, TypeError, KeyError):
            return json.loads(self.body)["detail"]
        return self.body[:500].decode(errors="replace")


class Fault(NamedTuple):
    """What the server found wrong; `position` is the item's in the stream, from 0, None if no item is meant."""

    position: int | None
    loc: tuple[str | int, ...]
    message: str
    type: str


class BatchResult(NamedTuple):
    """What became of one batch; `already` means that an earlier run got it acknowledged."""

    number: int
    first: int  # position of its first item in the stream
    size: int
    outcome: Literal["acknowledged", "already", "refused"]
    inserted: int = 0
    updated: int = 0
    run: str | None = None  # the receipt: GET /api/v1/sync/runs/{run}
    replayed: bool = False  # an earlier attempt had been written, its answer lost
    attempts: int = 0
    faults: Sequence[Fault] = ()


class Retry(NamedTuple):
    """Seconds: the first pause, the longest one, and how long one batch is tried."""

    base: float = 0.25
    longest: float = 30.0
    patience: float = 900.0


class Client(AbstractContextManager["Client"]):
    """One caller's connection, kept open from batch to batch if the server does."""

    def __init__(
        self, url: str, key: str, *, timeout: float = 60.0, retry: Retry | None = None, sleep: Sleep = time.sleep
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Rejected(f"{url} is no http:// or https:// address")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.connection = kind(parts.hostname, parts.port, timeout=timeout)
        self.base, self.key, self.retry, self.sleep = parts.path.rstrip("/"), key, retry or Retry(), sleep

    def __exit__(self, *error: object) -> None:
        self.connection.close()

    def attempt(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request and its whole answer, whatever it says; raises Dropped if there is none."""
        sent = {"X-API-Key": self.key, "Accept": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # who refuses a body half-way may have answered
                self.connection.request(method, self.base + path, body, sent)
            with self.connection.getresponse() as response:  # has the socket, where it is the last answer on it
                content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            raise Dropped(f"{type(error).__name__}: {error}") from error
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, content)

    def post(self, path: str, body: bytes, key: str, **headers: str) -> Answer:
        """One attempt at a batch, gzipped, under its key."""
        headers |= {"Content_Type": "application/json", "Content_Encoding": "gzip", "Idempotency_Key": key}
        return self.attempt("POST", path, gzip.compress(body, 5, mtime=0), **headers)

    def insist(self, attempt: Callable[[], Answer], *expected: int) -> tuple[Answer, int]:
        """The first answer that is not transient, and the attempts. Raises GaveUp; Rejected for one not `expected`."""
        deadline, number, longest = time.monotonic() + self.retry.patience, 1, self.retry.base
        while True:
            pause = random.uniform(0.5, 1) * min(longest, self.retry.longest)  # noqa: S311  # jitter, no secret
            try:
                answer = attempt()
                if not answer.is_transient and (answer.status in expected or not expected):
                    return answer, number
                reason = f"{answer.status} {answer.detail}"
                if not answer.is_transient:
                    raise Rejected(reason)
                if answer.retry_after is not None:
                    pause = answer.retry_after + min(pause, 1.0)
            except Dropped as error:
                reason = str(error)
            if time.monotonic() + pause > deadline:
                raise GaveUp(f"after {number} attempts: {reason}")
            self.sleep(pause)
            number, longest = number + 1, longest * 2


class Batch(NamedTuple):
    number: int
    path: str
    items: tuple[tuple[int, bytes], ...]  # each with its position in the stream, as JSON

    @property
    def body(self) -> bytes:
        plural = self.path.partition("?")[0].rpartition("/")[2]
        return b'{"%s":[%s]}' % (plural.encode(), b",".join(text for _, text in self.items))

    def key(self, stream: str) -> str:
        content = hashlib.sha256(self.path.encode() + b"\0" + self.body).hexdigest()
        return f"{stream}/{self.number}/{content[:32]}"

    def result(self, outcome: Any, counts: Mapping[str, Any], run: str | None, **more: Any) -> BatchResult:
        about = self.number, self.items[0][0], len(self.items), outcome
        return BatchResult(*about, counts["inserted"], counts["updated"], run, **more)

    def faults(self, answer: Answer) -> list[Fault]:
        """What the server found wrong, each with its item's position in the stream."""
        if not isinstance(answer.detail, list):
            return [Fault(None, (), str(answer.detail), str(answer.status))]
        faults = []
        for entry in answer.detail:
            loc = tuple(entry["loc"])
            names_item = len(loc) > 2 and isinstance(loc[2], int)
            faults.append(Fault(self.items[loc[2]][0] if names_item else None, loc, entry["msg"], entry["type"]))
        return faults


def batches(path: str, items: Iterable[Item], size: int) -> Iterator[Batch]:
    """The stream in batches of `size` items, or fewer if they are large; one at a time is in memory."""
    number, length, held = 0, 0, list[tuple[int, bytes]]()
    for position, item in enumerate(items):
        text = json.dumps(item, separators=(",", ":"), allow_nan=False).encode()
        if held and (len(held) == size or length + len(text) > MAX_BYTES):
            yield Batch(number, path, tuple(held))
            number, length, held = number + 1, 0, []
        held.append((position, text))
        length += len(text) + 1
    if held:
        yield Batch(number, path, tuple(held))


class Journal(AbstractContextManager["Journal"]):
    """What was sent and what was answered, on disk before the client goes on; for one process at a time."""

    SCHEMA = """PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = FULL;
        CREATE TABLE IF NOT EXISTS stream (id TEXT NOT NULL);
        CREATE TABLE IF NOT EXISTS batch (number INTEGER PRIMARY KEY,
            key TEXT NOT NULL, outcome TEXT NOT NULL, inserted INTEGER, updated INTEGER, run TEXT);
        INSERT INTO stream SELECT lower(hex(randomblob(16))) WHERE NOT EXISTS (SELECT 1 FROM stream);"""

    def __init__(self, path: Path | str) -> None:
        self.database = sqlite3.connect(path, isolation_level=None, timeout=1)
        self.database.row_factory = sqlite3.Row
        try:
            self.database.executescript(self.SCHEMA)
            self.stream: str = self.database.execute("SELECT id FROM stream").fetchone()[0]
        except sqlite3.Error as error:
            self.database.close()
            raise StreamChanged(f"{path} is no journal, or another process is using it: {error}") from error

    def __exit__(self, *error: object) -> None:
        self.database.close()

    def runs(self) -> list[str]:
        """The runs that wrote the batches, the last one first."""
        rows = "SELECT run FROM batch WHERE outcome IN ('acknowledged', 'already') ORDER BY number DESC"
        return [run for (run,) in self.database.execute(rows)]

    def note(self, number: int, key: str, outcome: str, inserted: int = 0, updated: int = 0, run: Any = None) -> None:
        row = number, key, outcome, inserted, updated, run
        self.database.execute("REPLACE INTO batch VALUES (?, ?, ?, ?, ?, ?)", row)


def push(
    client: Client,
    entity: str,
    items: Iterable[Item],
    *,
    journal: Journal | None = None,
    stream: str | None = None,
    batch_size: int | None = None,
    match_piece_id: bool = False,
    snapshot: str | None = None,
    on_fault: Literal["stop", "continue", "skip"] = "stop",
) -> Iterator[BatchResult]:
    """Pushes the items, in order, batch by batch; yields what became of each batch as soon as it is known. `stream`
    names the delivery (by default the journal's id, or a new one): under the same name the same items are written once.
    `snapshot` is the complete set that they are part of. After a refused batch it stops, goes on ("continue"), or sends
    the batch without the items named ("skip"). Raises GaveUp, Rejected and StreamChanged."""
    query = {"match": "piece_id" if match_piece_id else None, "snapshot": snapshot}
    path = f"/api/v1/sync/{entity}?{urlencode({name: value for name, value in query.items() if value})}".rstrip("?")
    with nullcontext(journal) if journal else Journal(":memory:") as notes:
        stream = stream or notes.stream
        if len(stream) > 200 or not (stream.isascii() and stream.isprintable()):
            raise ValueError("a stream's id has at most 200 printable ASCII characters")
        for batch in batches(path, items, min(batch_size or LIMITS[entity], LIMITS[entity])):
            noted = notes.database.execute("SELECT * FROM batch WHERE number = ?", [batch.number])
            known, key = noted.fetchone(), batch.key(stream)
            before = known["outcome"] if known else None  # "sent" while it is unknown
            if before not in (None, "refused") and known["key"] != key:
                msg = f"batch {batch.number} is not what it was when it was sent: a new delivery needs a new journal"
                raise StreamChanged(msg)
            if before in ("acknowledged", "already"):
                yield batch.result("already", known, known["run"])
                continue
            notes.note(batch.number, key, "sent")
            result = _sent(client, batch, stream, skip=on_fault == "skip", is_repeated=before == "sent")
            notes.note(batch.number, key, result.outcome, result.inserted, result.updated, result.run)
            yield result
            if result.outcome == "refused" and on_fault == "stop":
                return


def _sent(client: Client, batch: Batch, stream: str, *, skip: bool, is_repeated: bool) -> BatchResult:
    """Sends a batch, a repeated one only if it has no receipt yet; with `skip`, without the items that are at fault."""
    attempts, faults = 0, list[Fault]()
    while True:
        key = batch.key(stream)
        if is_repeated:
            written, _ = client.insist(partial(client.attempt, "GET", RECEIPT + quote(key, safe="")), 200)
            if receipts := json.loads(written.body):
                return batch.result("already", receipts[0], receipts[0]["guid"], attempts=attempts, faults=faults)
        answer, number = client.insist(partial(client.post, batch.path, batch.body, key), 200, 400, 413, 422)
        attempts, run = attempts + number, answer.headers.get("x-sync-run")
        if answer.status == 200:
            more = {"attempts": attempts, "replayed": answer.headers.get("idempotent-replayed") == "true"}
            return batch.result("acknowledged", json.loads(answer.body), run, faults=faults, **more)
        found = batch.faults(answer)
        wrong = {fault.position for fault in found}
        rest = tuple(item for item in batch.items if item[0] not in wrong)
        if not skip or len(rest) in (0, len(batch.items)):
            return batch.result("refused", Counter(), run, attempts=attempts, faults=[*faults, *found])
        faults += [fault for fault in found if fault.position is not None]
        batch = batch._replace(items=rest)


def read_lines(path: str) -> Iterator[Item]:
    """The JSON objects of a file ("-": of standard input), one a line; empty lines are passed over."""
    with sys.stdin if path == "-" else open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise ClientError(f"line {number} is not JSON: {error}") from error


def report(results: Iterable[BatchResult], out: IO[str]) -> bool:
    """Writes every fault and, even if the push breaks off, the counts; tells whether nothing was refused."""
    counts: Counter[str] = Counter()
    try:
        for result in results:
            counts.update({f"batches {result.outcome}": 1, "inserted": result.inserted, "updated": result.updated})
            counts["faults"] += len(result.faults)
            for fault in result.faults:
                item = f"batch {result.number}" if fault.position is None else f"item {fault.position + 1}"
                out.write(f"{item}: {'.'.join(map(str, fault.loc[3:]))}: {fault.message} ({fault.type})\n")
    finally:
        out.write(", ".join(f"{count} {name}" for name, count in counts.items()) + "\n")
    return not counts["faults"]


def undo(client: Client, runs: Iterable[str], **options: str) -> Iterator[tuple[str, Answer]]:
    """Takes back what these runs (`BatchResult.run`) wrote, in turn; options: `dry_run="true"`, `conflicts="skip"`.
    409: others have written some of it since (`conflicts`), or it has been undone; 410: it was too long ago."""
    for run in runs:
        path = f"/api/v1/sync/runs/{quote(run, safe='')}/undo?{urlencode(options)}"
        yield run, client.insist(partial(client.attempt, "POST", path), 200, 409, 410)[0]


def main() -> int:
    parser = argparse.ArgumentParser(description="Pushes a file to Ractory, or undoes that; the key is in RACTORY_KEY.")
    parser.add_argument("url")
    parser.add_argument("entity", choices=(*LIMITS, "undo"))
    parser.add_argument("file", nargs="?", help='one JSON object a line; "-" is standard input; of undo one run')
    parser.add_argument("--journal", type=Path, help="a file of its own for each delivery; undo takes all of it back")
    parser.add_argument("--on-fault", choices=("stop", "continue", "skip"), default="stop")
    parser.add_argument("--match-piece-id", action="store_true", help="pieces without guid update by piece_id")
    parser.add_argument("--batch-size", type=int, choices=range(1, 5001), metavar="N")
    flag: dict[str, Any] = {"action": "append_const", "dest": "undo", "default": []}
    parser.add_argument("--dry-run", const=("dry_run", "true"), **flag, help="undo, --complete: say what would go")
    parser.add_argument("--skip-conflicts", const=("conflicts", "skip"), **flag, help="undo: leave what is in conflict")
    parser.add_argument("--complete", metavar="SET", help="delete what is not sent of project=GUID … or company")
    parser.add_argument("--max-deleted", default="", help="of --complete: a number of rows, or a share (10%%)")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds to wait for an answer")
    parser.add_argument("--patience", type=float, default=900.0, help="seconds to try one batch")
    options = parser.parse_args()
    if [options.file, options.journal].count(None) > (options.entity == "undo"):
        parser.error("a file and --journal are needed; to undo, a run or --journal")
    retry = Retry(patience=options.patience)
    try:
        with (
            Journal(options.journal or ":memory:") as journal,
            Client(options.url, os.environ.get("RACTORY_KEY", ""), timeout=options.timeout, retry=retry) as client,
        ):
            if options.entity == "undo":
                runs = [options.file] if options.file else journal.runs()
                for run, answer in undo(client, runs, **dict(options.undo)):
                    sys.stdout.write(f"{run}: {answer.status} {answer.body.decode()}\n")
                    if answer.status == 410 or "conflicts" in json.loads(answer.body):
                        return 1
                return 0
            chosen = {name: getattr(options, name) for name in ("batch_size", "match_piece_id", "on_fault")}
            pushed = partial(push, client, options.entity, read_lines(options.file), journal=journal, **chosen)
            if options.complete:  # by the file beside this one
                return int(import_module("ractory_complete").delivered(client, journal, options, pushed, report))
            return 0 if report(pushed(), sys.stdout) else 1
    except (ClientError, OSError, ValueError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 3 if isinstance(error, GaveUp) else 2


if __name__ == "__main__":
    sys.exit(main())
