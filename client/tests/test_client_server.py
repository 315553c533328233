"""The reference client against the real server, with answers that get lost and with crashes of its own."""

import json
import os
import random
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.faults.proxy import Behaviour, Proxy
from bench.faults.server import Server
from client import ractory_client
from client.ractory_client import Client, GaveUp, Journal, Retry, push
from pieces.models import Assembly, Component, Piece
from pieces.tests.factories import ComponentFactory
from sync.models import IdempotentAnswer, SyncRun
from sync.tests.batches import assembly_item, piece_item
from tenants.models import Company
from tenants.tests.factories import issue_key

Item = dict[str, Any]
RETRY = Retry(base=0.01, longest=0.1, patience=60)


@pytest.fixture
def component(transactional_db: None) -> Component:
    return ComponentFactory.create()


@pytest.fixture
def key(component: Component) -> str:
    return issue_key(Company.objects.get(guid=component.company_guid))


def wire(item: Item) -> Item:
    return {name: str(value) if isinstance(value, uuid.UUID) else value for name, value in item.items()}


def assemblies(component: Component, count: int) -> Iterator[Item]:
    """Without guids: sent twice they would be there twice."""
    return (wire(assembly_item(component, cell_number=number)) for number in range(count))


def pieces(component: Component, count: int) -> Iterator[Item]:
    return (wire(piece_item(component, piece_id=str(number), outer_length=number)) for number in range(count))


def assert_once(component: Component, count: int) -> None:
    numbers = Assembly.across_companies.filter(component=component).values_list("cell_number", flat=True)
    assert sorted(numbers) == list(range(count))


def losing(number: int) -> Behaviour:
    """Two of three requests get no whole answer, each in another way."""
    ways: tuple[Behaviour, ...] = ("swallow", "pass", "half", "cut", "pass", "swallow")
    return ways[number % len(ways)]


def test_a_stream_of_several_thousand_is_written_whole(server: Server, component: Component, key: str) -> None:
    with Client(server.url, key) as client:
        results = list(push(client, "pieces", pieces(component, 2500)))
    assert [(result.size, result.inserted, result.attempts) for result in results] == [
        (1000, 1000, 1),
        (1000, 1000, 1),
        (500, 500, 1),
    ]
    assert Piece.across_companies.filter(component=component).count() == 2500


def test_lost_answers_double_nothing(server: Server, component: Component, key: str) -> None:
    with Proxy(server.port, losing) as proxy, Client(proxy.url, key, retry=RETRY) as client:
        results = list(push(client, "assemblies", assemblies(component, 100), batch_size=5))
    assert sum(result.inserted for result in results) == 100
    assert sum(result.replayed for result in results) >= 10
    assert proxy.counts["swallow"] + proxy.counts["half"] >= 10
    assert proxy.counts["cut"] > 0
    assert_once(component, 100)
    assert SyncRun.across_companies.filter(status="succeeded").count() == 20


def test_the_clients_own_crash_doubles_and_loses_nothing(
    server: Server, component: Component, key: str, tmp_path: Path
) -> None:
    file, rng = tmp_path / "assemblies.ndjson", random.Random(7)  # noqa: S311  # no secret depends on it
    file.write_text("".join(json.dumps(item) + "\n" for item in assemblies(component, 1000)))
    command = [sys.executable, ractory_client.__file__, server.url, "assemblies", str(file), "--batch-size", "4"]
    command += ["--journal", str(tmp_path / "journal")]
    crashes = 0
    while True:
        process = subprocess.Popen(command, env={**os.environ, "RACTORY_KEY": key}, stdout=subprocess.PIPE)  # noqa: S603  # our own command
        try:
            process.wait(timeout=rng.uniform(0.2, 0.6) if crashes < 5 else 60)
        except subprocess.TimeoutExpired:
            process.kill()
            crashes += 1
        said = process.communicate()[0].decode()
        if process.returncode == 0:
            break
    assert crashes >= 2
    assert "1000 inserted" in said
    assert_once(component, 1000)
    assert SyncRun.across_companies.filter(status="succeeded", inserted=4).count() == 250


def test_faults_of_the_real_server_carry_the_position_in_the_stream(
    server: Server, component: Component, key: str
) -> None:
    items = list(pieces(component, 25))
    items[12]["component_guid"] = str(uuid.uuid4())
    items[17]["outer_length"] = "long"
    with Client(server.url, key) as client:
        results = list(push(client, "pieces", iter(items), batch_size=10, on_fault="skip"))
    faults = [(fault.position, fault.loc[3], fault.type) for result in results for fault in result.faults]
    assert [(position, name) for position, name, _ in faults] == [(17, "outer_length"), (12, "component_guid")]
    assert [result.inserted for result in results] == [10, 8, 5]
    found = Piece.across_companies.filter(component=component).values_list("outer_length", flat=True)
    assert set(found) == set(range(25)) - {12, 17}


@pytest.mark.parametrize("meanwhile", ["24 hours pass", "the API key is replaced"])
def test_a_batch_whose_key_is_not_known_any_more_is_found_by_its_receipt(
    server: Server, component: Component, key: str, tmp_path: Path, meanwhile: str
) -> None:
    items = list(assemblies(component, 10))
    with Journal(tmp_path / "journal") as journal, Proxy(server.port, lambda number: "swallow") as proxy:
        with Client(proxy.url, key, retry=Retry(patience=0)) as client, pytest.raises(GaveUp):
            list(push(client, "assemblies", items, journal=journal))
        if meanwhile == "24 hours pass":
            IdempotentAnswer.objects.all().delete()
        else:
            key = issue_key(Company.objects.get(guid=component.company_guid))
        with Client(server.url, key) as client:
            [result] = push(client, "assemblies", items, journal=journal)
    assert (result.outcome, result.inserted) == ("already", 10)
    assert_once(component, 10)


def test_pieces_without_guids_may_be_pushed_again_whenever_with_match(
    server: Server, component: Component, key: str
) -> None:
    with Client(server.url, key) as client:
        list(push(client, "pieces", pieces(component, 20), match_piece_id=True))
        [again] = push(client, "pieces", pieces(component, 20), match_piece_id=True)
    assert (again.inserted, again.updated) == (0, 20)
    assert Piece.across_companies.filter(component=component).count() == 20
