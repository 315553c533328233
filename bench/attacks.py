"""The attackers of bench.hostile: what each sends, byte by byte, and the process that sends it.

`python -m bench.attacks` is that process. It gets one attack on its standard input and goes on until that is closed. An
attacker's machine is not ours: requests are made beforehand, answers are counted and thrown away, and it gives way to
all others (nice 19), so that it takes little of the processors that the server has.
"""

import gzip
import json
import os
import pickle
import re
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

ADDRESS = "127.0.0.2"  # another one than the bystander's
MODULUS = 2**61 - 1  # integers, and so UUIDs, that are equal by it have the same hash
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Attack:
    """What each of the connections sends, again and again, one request after the other."""

    name: str
    what: str
    connections: list[list[bytes]]
    slow_readers: int = 0  # so many of the connections take 100 KB/s
    once: bool = False
    exhausted: str = ""  # a key that has had all of its requests already


@dataclass(frozen=True, slots=True)
class Targets:
    """What is there to be attacked."""

    company: str
    key: str  # of a company with a million pieces
    reader: str  # a key that may not write
    pictures: str  # of a company with many pictures
    project: str  # with the million pieces
    others: list[str]  # small projects
    accounts: list[str]
    password: str


def request(method: str, path: str, key: str = "", body: bytes = b"", **headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"X-API-Key: {key}"] if key else []
    lines += ["Content-Type: application/json"] if body else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def attacks(targets: Targets) -> Iterator[Attack]:
    """Those of docs/security.md, in the order of their numbers there."""
    yield Attack("patterns", "16 connections, 8 KB of `eyJeyJ…` in the path, and of T in a moment", _patterns(targets))
    for name, accounts in (("logins", targets.accounts[:1]), ("accounts", targets.accounts)):
        bodies = [json.dumps({"email": email, "password": targets.password}).encode() for email in accounts]
        sent = [request("POST", "/api/v1/auth/login", body=body) for body in bodies]
        what = f"16 connections log in rightly, {len(accounts)} account{'s' * (len(accounts) > 1)}"
        yield Attack(name, what, [sent[number % len(sent) :] + sent[: number % len(sent)] for number in range(16)])
    body = b'{"projects": [{"%s": 1, "code": "1", "company_guid": "%s"}]}' % (
        b"a" * 30_000_000,
        targets.company.encode(),
    )
    bomb = request("POST", "/api/v1/sync/projects", targets.key, gzip.compress(body), Content_Encoding="gzip")
    receipts = request("GET", "/api/v1/sync/runs?limit=1000", targets.key)
    yield Attack(
        "names", "30 connections, 31 KB that unpack to a name of 30 MB; receipts", [[bomb, bomb, receipts]] * 30
    )
    pictures = request("GET", "/api/v1/components?detail=true&limit=1000", targets.pictures)
    yield Attack("pictures", "6 connections, lists with pictures, 3 read slowly", [[pictures]] * 6, slow_readers=3)
    yield Attack("collisions", "1 connection, 5000 guids of one hash, moved to and fro", [_collisions(targets)])
    dear = [f"search=no-such-text-{number}" for number in range(3)] + ["offset=900000"] * 3
    sent = [request("GET", f"/api/v1/pieces?{query}", targets.key) for query in dear]
    yield Attack("searches", "6 connections, searches for nothing and deep offsets", [[one] for one in sent])
    forbidden = request("POST", "/api/v1/sync/projects", targets.reader, b'{"projects": []}')
    yield Attack("forbidden", "16 connections, a reading key syncs: 403", [[forbidden]] * 16)
    listed = request("GET", "/api/v1/pieces?limit=1", targets.reader)
    yield Attack("limited", "16 connections, above the limit: 429", [[listed]] * 16, exhausted=targets.reader)
    deleted = request("DELETE", f"/api/v1/projects/{targets.project}", targets.key)
    restored = request("POST", f"/api/v1/projects/{targets.project}/restore", targets.key)
    yield Attack("deletion", "a project of a million pieces is deleted and restored", [[deleted, restored]], once=True)


def _patterns(targets: Targets) -> list[list[bytes]]:
    path = request("GET", f"/{'eyJ' * 2720}")
    moment = request("GET", f"/api/v1/pieces?updated_since={'T' * 8100}", targets.key)
    return [[path, moment]] * 16


def _collisions(targets: Targets) -> list[bytes]:
    """5000 components below one project, then below another: each batch moves them all."""
    guids = [f"{number * MODULUS:032x}" for number in range(1, 5001)]
    sent = []
    for project in targets.others[:2]:
        above = {"project_guid": project, "company_guid": targets.company, "code": "C"}
        body = json.dumps({"components": [{"guid": guid, **above} for guid in guids]}).encode()
        sent.append(request("POST", "/api/v1/sync/components", targets.key, body))
    return sent


# --- The process ------------------------------------------------------------------------------


class Attacker:
    """The process, as who has started it sees it; `statuses` once it has ended."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        self.statuses: Counter[str] = Counter()

    @property
    def is_done(self) -> bool:
        return self.process.poll() is not None


@contextmanager
def attacking(port: int, attack: Attack) -> Iterator[Attacker]:
    """An attack on this port for as long as the context lives; one that is made once may be over before."""
    command = [sys.executable, "-m", "bench.attacks"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        pickle.dump((port, attack), process.stdin)
        process.stdin.flush()
        assert process.stdout.readline() == b"begun\n"
        attacker = Attacker(process)
        try:
            yield attacker
        finally:
            process.stdin.close()
            attacker.statuses.update(json.loads(process.stdout.read()))


@dataclass(slots=True)
class Connection:
    """Sends its requests in turn, on a new connection wherever the old one was closed, and counts what comes back."""

    port: int
    requests: Sequence[bytes]
    is_slow: bool
    over: threading.Event
    statuses: Counter[str] = field(default_factory=Counter)
    open: socket.socket | None = None

    def run(self, *, once: bool) -> None:
        while not self.over.is_set():
            for sent in self.requests:
                if self.over.is_set():
                    break
                try:
                    self.statuses[self._exchange(sent)] += 1
                except OSError:
                    self.statuses["broken"] += not self.over.is_set()
                    self.close()
            if once:
                break
        self.close()

    def _exchange(self, sent: bytes) -> str:
        if self.open is None:
            self.open = socket.socket()
            if self.is_slow:
                self.open.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self.open.bind((ADDRESS, 0))
            self.open.connect(("127.0.0.1", self.port))
        self.open.sendall(sent)
        head, _, rest = self._head(self.open).partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        left = int(length[1]) - len(rest) if length else 0
        while left > 0 and (chunk := self.open.recv(min(left, 10_000 if self.is_slow else 1 << 20))):
            left -= len(chunk)
            if self.is_slow and self.over.wait(0.1):
                raise OSError
        if left > 0 or b"\r\nconnection: close" in head.lower():
            self.close()
        return head[9:12].decode()

    def _head(self, connection: socket.socket) -> bytes:
        answer = b""
        while b"\r\n\r\n" not in answer:
            chunk = connection.recv(65536)
            if not chunk:
                raise OSError
            answer += chunk
        return answer

    def close(self) -> None:
        if self.open is not None:
            with suppress(OSError):
                self.open.shutdown(socket.SHUT_RDWR)
            self.open.close()
            self.open = None


def main() -> int:
    os.nice(19)
    port, attack = pickle.load(sys.stdin.buffer)
    over = threading.Event()
    connections = [
        Connection(port, sent, number < attack.slow_readers, over) for number, sent in enumerate(attack.connections)
    ]
    threads = [threading.Thread(target=one.run, kwargs={"once": attack.once}, daemon=True) for one in connections]
    for thread in threads:
        thread.start()
    print("begun", flush=True)
    if not attack.once:
        sys.stdin.read()
        over.set()
        for one in connections:  # wakes who waits for an answer
            if (opened := one.open) is not None:  # its thread may be closing it
                with suppress(OSError):
                    opened.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()
    print(json.dumps(sum((one.statuses for one in connections), Counter())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
