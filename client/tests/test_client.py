"""The reference client against a scripted server: waiting, repeating, reporting, resuming."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from client import ractory_client
from client.ractory_client import Client, GaveUp, Journal, Rejected, StreamChanged, push
from client.tests.stub import Reply, Stub, refusal

ITEMS = [{"piece_id": str(number)} for number in range(7)]


def pushed(stub: Stub, items: Any = ITEMS, **options: Any) -> list[ractory_client.BatchResult]:
    with stub.client() as client:
        return list(push(client, "pieces", items, **{"batch_size": 3, **options}))


def test_a_stream_goes_in_gzipped_batches_each_under_a_key_of_its_own(stub: Stub) -> None:
    results = pushed(stub)
    assert [body["pieces"] for _, _, body in stub.requests] == [ITEMS[:3], ITEMS[3:6], ITEMS[6:]]
    assert [(result.number, result.first, result.size) for result in results] == [(0, 0, 3), (1, 3, 3), (2, 6, 1)]
    assert [result.outcome for result in results] == ["acknowledged"] * 3
    assert len(set(stub.keys)) == 3
    path, headers, _ = stub.requests[0]
    assert (path, headers["X-API-Key"], headers["Content-Encoding"]) == ("/api/v1/sync/pieces", "rfk_test", "gzip")


def test_keys_follow_from_the_stream_the_number_and_the_content(stub: Stub) -> None:
    pushed(stub, stream="delivery-1")
    pushed(stub, stream="delivery-1")
    pushed(stub, stream="delivery-2")
    pushed(stub, stream="delivery-1", match_piece_id=True)
    first, again, other, matching = (stub.keys[start : start + 3] for start in range(0, 12, 3))
    assert first == again
    assert not {*first} & {*other, *matching}


def test_an_empty_stream_sends_nothing(stub: Stub) -> None:
    assert (pushed(stub, []), stub.requests) == ([], [])


def test_a_batch_is_sent_before_more_than_one_item_of_the_next_is_read(stub: Stub) -> None:
    read = 0

    def endless() -> Iterator[dict[str, str]]:
        nonlocal read
        while True:
            read += 1
            yield {"piece_id": str(read)}

    with stub.client() as client:
        results = push(client, "pieces", endless())
        assert (next(results).size, read) == (1000, 1001)
        assert (next(results).size, read) == (1000, 2001)
        results.close()  # type: ignore[attr-defined]  # it is a generator


def test_large_items_make_smaller_batches(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ractory_client, "MAX_BYTES", 100)
    items = [{"piece_id": "x" * 40}, {"piece_id": "y" * 40}, {"piece_id": "z" * 400}]
    assert [result.size for result in pushed(stub, items)] == [1, 1, 1]


def test_one_connection_serves_all_batches_if_the_server_keeps_it(stub: Stub) -> None:
    pushed(stub)
    assert stub.connections == 1


def test_a_server_that_closes_after_each_answer_gets_new_connections(stub: Stub) -> None:
    stub.script = [Reply(headers={"Connection": "close"}) for _ in range(3)]
    assert [result.attempts for result in pushed(stub)] == [1, 1, 1]
    assert stub.connections == 3


@pytest.mark.parametrize("status", [429, 503, 409, 500])
def test_it_waits_at_least_as_long_as_the_server_says(stub: Stub, status: int) -> None:
    stub.script = [Reply(status, b'{"detail": "later"}', {"Retry-After": "7"})]
    [first, *_] = pushed(stub)
    assert (first.outcome, first.attempts) == ("acknowledged", 2)
    assert 7 <= stub.pauses[0] <= 8
    assert stub.keys[0] == stub.keys[1]


def test_retry_after_may_be_a_date(stub: Stub) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    stub.script = [Reply(429, b"{}", {"Retry-After": moment})]
    pushed(stub)
    assert 17 < stub.pauses[0] < 22


def test_pauses_grow_and_are_bounded(stub: Stub) -> None:
    stub.script = [Reply(502, b"<html>Bad gateway") for _ in range(12)]
    with stub.client(base=1.0, longest=30.0) as client:
        [result] = push(client, "pieces", ITEMS)
    assert result.attempts == 13
    for number, pause in enumerate(stub.pauses):
        assert min(30, 2**number) / 2 <= pause <= min(30, 2**number)


def test_it_gives_up_when_its_patience_ends(stub: Stub) -> None:
    stub.script = [Reply(503, b'{"detail": "down"}', {"Retry-After": "1000"})]
    with pytest.raises(GaveUp, match="503 down"):
        pushed(stub)
    assert stub.pauses == []


def test_it_gives_up_on_a_server_that_is_not_there() -> None:
    with Client("http://127.0.0.1:9", "key", retry=ractory_client.Retry(patience=0)) as client, pytest.raises(GaveUp):
        list(push(client, "pieces", ITEMS))


@pytest.mark.parametrize("status", [401, 403, 404, 409, 301])
def test_an_answer_that_every_batch_would_get_ends_the_push(stub: Stub, status: int) -> None:
    stub.script = [Reply(status, b'{"detail": "no"}')]
    with pytest.raises(Rejected, match=f"{status} no"):
        pushed(stub, on_fault="continue")
    assert len(stub.requests) == 1


@pytest.mark.parametrize("url", ["ractory.example", "ftp://ractory.example", "http://"])
def test_a_wrong_address_is_named(url: str) -> None:
    with pytest.raises(Rejected, match="address"):
        Client(url, "key")


def test_an_answer_given_before_the_body_was_read_is_heard(stub: Stub) -> None:
    stub.script = [Reply(413, b'{"detail": "too large"}', unread=True)]
    [result] = pushed(stub, [{"piece_id": "x"}])
    assert (result.outcome, result.faults[0].message, result.faults[0].position) == ("refused", "too large", None)


@pytest.mark.parametrize(("on_fault", "sizes"), [("stop", [3, 3]), ("continue", [3, 3, 1])])
def test_faults_are_named_by_their_position_in_the_stream(stub: Stub, on_fault: Any, sizes: list[int]) -> None:
    stub.script = [Reply(), refusal((0, "guid"), (2, "piece_id"))]
    results = pushed(stub, on_fault=on_fault)
    assert [len(body["pieces"]) for _, _, body in stub.requests] == sizes
    assert (results[1].outcome, results[1].run) == ("refused", "run-1")
    assert [(fault.position, fault.loc[3]) for fault in results[1].faults] == [(3, "guid"), (5, "piece_id")]


def test_skip_sends_the_batch_without_the_items_named(stub: Stub) -> None:
    stub.script = [refusal((1, "guid")), refusal((1, "guid"))]
    [first, *_] = pushed(stub, on_fault="skip")
    assert [body["pieces"] for _, _, body in stub.requests[:3]] == [ITEMS[:3], [ITEMS[0], ITEMS[2]], [ITEMS[0]]]
    assert (first.outcome, [fault.position for fault in first.faults]) == ("acknowledged", [1, 2])
    assert len(set(stub.keys)) == len(stub.keys)


def test_skip_leaves_out_a_batch_in_which_nothing_is_right_or_nothing_named(stub: Stub) -> None:
    nameless = Reply(400, b'{"detail": "Maximum batch size is 2 pieces"}')
    stub.script = [refusal((0, "guid"), (1, "guid"), (2, "guid")), nameless]
    assert [result.outcome for result in pushed(stub, on_fault="skip")] == ["refused", "refused", "acknowledged"]
    assert len(stub.requests) == 3


def test_a_journal_lets_a_second_run_pass_over_what_was_acknowledged(stub: Stub, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    first = Reply(body=b'{"inserted": 2, "updated": 1}', headers={"X-Sync-Run": "run"})
    stub.script = [first, Reply(401, b"{}"), Reply(body=b"[]")]
    with Journal(path) as journal, pytest.raises(Rejected):
        pushed(stub, journal=journal)
    with Journal(path) as journal:
        results = pushed(stub, journal=journal)
    assert [result.outcome for result in results] == ["already", "acknowledged", "acknowledged"]
    assert (results[0].inserted, results[0].updated, results[0].run) == (2, 1, "run")
    paths = [path for path, _, _ in stub.requests]
    assert [path.partition("?")[0].rpartition("/")[2] for path in paths] == [
        "pieces",
        "pieces",
        "runs",
        "pieces",
        "pieces",
    ]
    assert stub.requests[1][1]["Idempotency-Key"] == stub.requests[3][1]["Idempotency-Key"]


def test_a_refused_batch_may_be_mended_and_pushed_again(stub: Stub, tmp_path: Path) -> None:
    stub.script = [Reply(), refusal((0, "guid"))]
    mended = [*ITEMS[:3], {"piece_id": "mended"}, *ITEMS[4:]]
    with Journal(tmp_path / "journal") as journal:
        pushed(stub, journal=journal)
        results = pushed(stub, mended, journal=journal)
    assert [result.outcome for result in results] == ["already", "acknowledged", "acknowledged"]


def test_another_stream_under_a_journal_is_noticed(stub: Stub, tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        pushed(stub, journal=journal)
        with pytest.raises(StreamChanged, match="batch 0"):
            pushed(stub, [{"piece_id": "other"}], journal=journal)
        with pytest.raises(StreamChanged):
            pushed(stub, batch_size=2, journal=journal)


def test_a_journal_serves_one_process_at_a_time(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        journal.note(0, "key", "sent")
        with pytest.raises(StreamChanged, match="another process"):
            Journal(tmp_path / "journal")


def test_what_is_no_journal_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "pieces.ndjson"
    path.write_text('{"piece_id": "1"}\n' * 100)
    with pytest.raises(StreamChanged, match="no journal"):
        Journal(path)
    assert path.read_text() == '{"piece_id": "1"}\n' * 100


@pytest.mark.parametrize("found", [True, False])
def test_a_batch_that_an_earlier_run_left_under_way_is_looked_for_among_the_receipts(
    stub: Stub, tmp_path: Path, found: bool
) -> None:
    with Journal(tmp_path / "journal") as journal, stub.client(patience=0) as client:
        stub.script = [Reply(503, b"")]
        with pytest.raises(GaveUp):
            list(push(client, "pieces", ITEMS, journal=journal))
        receipts = [{"guid": "run", "inserted": 7, "updated": 0}] if found else []
        stub.script = [Reply(body=json.dumps(receipts).encode())]
        [result] = push(client, "pieces", ITEMS, journal=journal)
    asked, _, _ = stub.requests[1]
    assert asked.startswith("/api/v1/sync/runs?status=succeeded&limit=1&idempotency_key=")
    assert (result.outcome, result.inserted) == (("already", 7) if found else ("acknowledged", 1))
    assert len(stub.requests) == (2 if found else 3)


# --- As a command -----------------------------------------------------------------------------


def run(stub: Stub, tmp_path: Path, text: str, *options: str) -> "subprocess.CompletedProcess[str]":
    (tmp_path / "pieces.ndjson").write_text(text)
    command = [sys.executable, ractory_client.__file__, f"http://127.0.0.1:{stub.port}", "pieces"]
    command += [str(tmp_path / "pieces.ndjson"), "--journal", str(tmp_path / "journal"), *options]
    environment = {"RACTORY_KEY": "rfk_test", "PYTHONWARNINGS": "error"}
    return subprocess.run(command, env=environment, check=False, capture_output=True, text=True)  # noqa: S603  # our own command


def test_the_command_pushes_a_file_of_json_lines(stub: Stub, tmp_path: Path) -> None:
    done = run(stub, tmp_path, '{"piece_id": "ü"}\n\n{"piece_id": "2"}\n')
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "1 batches acknowledged, 1 inserted, 0 updated, 0 faults\n"
    assert stub.requests[0][2] == {"pieces": [{"piece_id": "ü"}, {"piece_id": "2"}]}


def test_the_command_names_each_fault_and_exits_with_1(stub: Stub, tmp_path: Path) -> None:
    stub.script = [Reply(), refusal((1, "guid"))]
    done = run(stub, tmp_path, '{"piece_id": "1"}\n' * 4, "--batch-size", "2")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines()[0] == "item 4: guid: wrong guid (wrong)"


@pytest.mark.parametrize("text", ["{", '{"x": NaN}'])
def test_the_command_says_in_one_line_what_cannot_be_sent(stub: Stub, tmp_path: Path, text: str) -> None:
    done = run(stub, tmp_path, text)
    assert (done.returncode, len(done.stderr.splitlines()), stub.requests) == (2, 1, [])


def test_the_command_exits_with_3_when_the_server_stays_away(stub: Stub, tmp_path: Path) -> None:
    stub.script = [Reply(503, b"")]
    done = run(stub, tmp_path, '{"piece_id": "1"}\n', "--patience", "0")
    assert (done.returncode, done.stderr.startswith("GaveUp: after 1 attempts: 503")) == (3, True)
