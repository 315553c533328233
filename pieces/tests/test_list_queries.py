"""A list takes as many statements for 1000 rows as for one, and no more than it needs."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from pieces.models import LEVELS, Entity
from pieces.tests.copies import copies
from pieces.tests.families import KINDS, Family, list_path
from ractory.api.tests.client import Api

pytestmark = pytest.mark.django_db

# The credentials, then the list; with `detail` a statement for each level whose descendants are counted.
EXPECTED = {"": 2, "updated_since=2020-01-01&ordering=-updated_at": 2}
# On PostgreSQL what may look at many rows begins with its limits, in a transaction of its own: here, a savepoint.
COSTLY = {"count=true": 3, "offset=0&ordering=is_active": 2}
LIMITED = 3 if connection.vendor == "postgresql" else 0
# What may have pictures is streamed, there in a transaction too.
STREAMED = 2 if connection.vendor == "postgresql" else 0
DETAIL = {"project": 4, "component": 4 + STREAMED, "assembly": 3 + STREAMED, "piece": 2 + STREAMED}


def statements(reader: Api, path: str, rows: int) -> int:
    with CaptureQueriesContext(connection) as queries:
        answer = reader.get(path)
    assert len(answer.json()) == rows
    return len(queries)


@pytest.mark.parametrize("model", LEVELS, ids=KINDS)
def test_the_number_of_statements_is_that_for_one_row(reader: Api, family: Family, model: type[Entity]) -> None:
    kind = model.kind.value
    expected = EXPECTED | {"detail=true": DETAIL[kind]}
    expected |= {query: number + LIMITED for query, number in COSTLY.items()}
    expected |= {f"{parent}_guid={family[parent].guid}": 3 for parent in model.parents}
    expected |= {"&".join(f"{parent}_guid={family[parent].guid}" for parent in model.parents): 2 + len(model.parents)}
    for rows in (1, 1000):
        taken = {query: statements(reader, f"{list_path(model)}?limit=1000&{query}", rows) for query in expected}
        assert taken == expected
        if rows == 1:
            copies(family[kind], 999)
