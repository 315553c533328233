"""A disk that is full: the table of pieces on a small file system, filled to the brim under a sync."""

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.faults.siege import Siege
from bench.faults.workload import Batch

MEGABYTES = 24
ROOM = 1024 * 1024  # bytes that are left for pieces: a few batches of 1000
MAX_BATCHES = 40


def fill_disk(siege: Siege, folder: Path) -> bool:
    """Pushes batches of 1000 until the disk is full, makes room, and retries; False if it can't be had here.

    Needs root, to mount a small tmpfs. What the full disk refused must be absent until the retry, and whole then.
    """
    mount = folder / "small-disk"
    mount.mkdir()
    if not _mounted(mount):
        return False
    try:
        with _pieces_on(siege, mount):
            _overflow(siege, mount)
    finally:
        subprocess.run(["umount", str(mount)], check=True)
    siege.audit()
    return True


def _mounted(mount: Path) -> bool:
    if os.geteuid() != 0 or not shutil.which("mount"):
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "ractory-small", str(mount)]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0


@contextmanager
def _pieces_on(siege: Siege, mount: Path) -> Iterator[None]:
    place = mount / "tablespace"
    place.mkdir()
    shutil.chown(place, siege.database.owner)
    siege.database.rows(f"CREATE TABLESPACE small LOCATION '{place}'")
    siege.database.rows("ALTER TABLE pieces_piece SET TABLESPACE small")
    try:
        yield
    finally:
        siege.database.rows("ALTER TABLE pieces_piece SET TABLESPACE pg_default")
        siege.database.rows("DROP TABLESPACE small")


def _overflow(siege: Siege, mount: Path) -> None:
    filler = mount / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(mount).free - ROOM))
    above = siege.component("full disk")
    client = siege.client()
    for number in range(MAX_BATCHES):
        batch = _thousand(siege, above, f"r{siege.seed}-full-{number}")
        siege.ledger.append(batch)
        siege.figures.count("batches")
        answer = client.post(batch.path, batch.body, batch.key)
        if answer.status != 200:
            break
    else:
        siege.figures.complain("the disk did not fill up", f"{MAX_BATCHES} batches fitted")
        return
    siege.figures.count(f"disk full: answered {answer.status}")
    if answer.status != 503:
        siege.figures.complain("a full disk is no 503", f"{answer.status} {answer.body!r}")
    _expect(siege, batch, 0)
    filler.unlink()
    answer, _ = client.insist(lambda: client.post(batch.path, batch.body, batch.key))
    if answer.status != 200:
        siege.figures.complain("a full disk was not forgotten", f"{answer.status} {answer.body!r}")
    _expect(siege, batch, batch.whole)


def _expect(siege: Siege, batch: Batch, rows: int) -> None:
    [(found,)] = siege.database.rows(batch.probe, batch.shown)
    if found != rows:
        siege.figures.complain("torn by a full disk", f"{found} rows instead of {rows}")


def _thousand(siege: Siege, above: dict[str, str], tag: str) -> Batch:
    items = [
        {**above, "guid": str(uuid.uuid5(uuid.UUID(siege.company), f"{tag}/{index}")), "piece_id": f"{tag}/{index}"}
        | {"barcode": tag, "operations": tag * 20}
        for index in range(1000)
    ]
    return Batch(
        "1000 to a full disk", "pieces", tag, items, "SELECT count(*) FROM pieces_piece WHERE barcode = %s", [tag]
    )
