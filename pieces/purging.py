"""Removing soft-deleted rows for good, deletion by deletion, in short transactions. A deletion goes as a whole, or
stays while something below what it took is active or was deleted too recently. It is marked first, so that it can't be
restored in part; then its rows go, children first, at last the record. What was interrupted the next run finishes."""

import uuid
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from django.db import connection
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from pieces.changes import remove
from pieces.models import HISTORIES, LEVELS, NO_ACT, Deletion, Entity
from ractory.api.retry import in_transaction
from tenants.models import Company

SLICE = 5000  # rows removed in one transaction
BATCH = 500  # deletions looked at together

PLURALS = [level.plural for level in LEVELS]
Guids = Collection[uuid.UUID]

# Each level with the parents right above it, of which a piece may lack one. What is further up follows from these.
LINKS = [(level, parent) for level in LEVELS for parent in level.parents[-2:]]


@dataclass(slots=True)
class Purge:
    """One run over the deletions of the tenant scope that were made before `before`, oldest first."""

    before: datetime
    dry_run: bool = False
    # What is gone, or with `dry_run` would go: rows by level, and records of deletions.
    removed: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys((*PLURALS, "deletions"), 0)))
    kept: set[uuid.UUID] = field(default_factory=set)  # deletions that are old enough, but stay

    def slices(self) -> Iterator[int]:
        """Does it; after each transaction, the number of rows that have gone. To stop in between does no harm."""
        for batch in self._batches():
            self._keep_back(batch)
            going = [guid for guid in batch if guid not in self.kept]
            yield from (self._counted(going) if self.dry_run else self._carried_out(going))

    def _carried_out(self, going: Guids) -> Iterator[int]:
        in_transaction(lambda: self._mark(going))
        for level in reversed(LEVELS):
            rows = SLICE
            while rows == SLICE:
                rows, deletions = in_transaction(partial(self._remove, level, going))
                self.removed.update({level.plural: rows, "deletions": deletions})
                yield rows
        self.removed["deletions"] += in_transaction(lambda: _forget(guid__any_of=going))

    def _counted(self, going: Guids) -> Iterator[int]:
        rows, staying = {level.plural: self._rows(level, going).count() for level in LEVELS}, self._staying()
        deletions = _without_root(Deletion.objects.filter(guid__any_of=going), staying)
        self.removed.update({**rows, "deletions": deletions.count()})
        yield sum(rows.values())

    def _batches(self) -> Iterator[list[uuid.UUID]]:
        """The old deletions, in the order of their guids, which is that of time: children went before their parents."""
        old = Deletion.objects.filter(created_at__lt=self.before).order_by("guid").values_list("guid", flat=True)
        last = uuid.UUID(int=0)
        while batch := list(old.filter(guid__gt=last)[:BATCH]):
            yield batch
            last = batch[-1]

    def _staying(self) -> Q:
        """What this run leaves where it is."""
        kept = Q(deletion=None) | Q(deletion_guid__any_of=list(self.kept))
        return kept | Q(is_active=True) | Q(deleted_at__gte=self.before)

    def _keep_back(self, batch: Guids) -> None:
        """Keeps the deletions that took parents of rows which stay; what they took stays too, which may keep others."""
        while True:
            known, staying = len(self.kept), self._staying()
            for level, parent in LINKS:
                rows = level.all_objects.filter(staying, **{f"{parent}__deletion_guid__any_of": batch})
                self.kept.update(rows.values_list(f"{parent}__deletion_guid", flat=True).distinct())
            if len(self.kept) == known:
                return

    def _rows(self, level: type[Entity], going: Guids) -> Any:
        return level.all_objects.filter(deletion_guid__any_of=going, is_active=False, deleted_at__lt=self.before)

    def _mark(self, going: Guids) -> None:
        Deletion.objects.filter(_has_rows(), guid__any_of=going, purged_at=None).update(purged_at=timezone.now())

    def _remove(self, level: type[Entity], going: Guids) -> tuple[int, int]:
        """Removes one slice of the rows; the number of rows, and of records of deletions, that went. The lock waits for
        whoever restores some of the rows; these are then no longer among them."""
        rows = self._rows(level, going)
        for below in level.below():
            rows = rows.exclude(Exists(below.all_objects.filter(**{level.kind.column: OuterRef("guid")})))
        found = list(rows.order_by("guid").select_for_update().values_list("guid", "company_guid")[:SLICE])
        taken = [guid for guid, _ in found]
        _forget_past(level, taken)
        remove(level.all_objects.filter(guid__any_of=taken))
        # Who follows the changes never hears of these rows again, and has to start anew (sync.feed).
        Company.objects.filter(guid__in={owner for _, owner in found}).update(feed_epoch=F("feed_epoch") + 1)
        # Earlier deletions of the same rows, restored since, are now the history of nothing.
        return len(taken), _forget(root_guid__any_of=taken, kind=level.kind.value)


def _forget_past(level: type[Entity], guids: Guids) -> None:
    """Removes the history of these rows, which are there still: from them it is found, state by state."""
    rows, params = level.all_objects.filter(guid__any_of=guids).values("guid", "changed_in").query.sql_with_params()
    history = HISTORIES[level]._meta.db_table
    act = f"coalesce({{}}.changed_in, '{NO_ACT.hex}')"
    connection.cursor().execute(
        f"WITH RECURSIVE past(id, guid, act) AS (SELECT state.id, state.guid, {act.format('state')} "  # noqa: S608  # our own names
        f"FROM ({rows}) AS present JOIN {history} AS state ON state.guid = present.guid "
        f"AND state.replaced_in = {act.format('present')} "
        f"UNION SELECT state.id, state.guid, {act.format('state')} FROM past JOIN {history} AS state "
        f"ON state.guid = past.guid AND state.replaced_in = past.act AND state.id < past.id) "
        f"DELETE FROM {history} WHERE id IN (SELECT id FROM past)",
        params,
    )


def purge_history(before: datetime, removed: Counter[str], *, dry_run: bool = False) -> Iterator[int]:
    """Removes the states that were replaced before that moment, of all companies; after each transaction, the number of
    states that have gone, which `removed` counts by level. With `dry_run` counts them only."""
    for level, history in HISTORIES.items():
        states = history.across_companies
        if dry_run:
            removed[level.plural] = states.filter(replaced_at__lt=before).count()
            continue
        old = [0] * SLICE
        while len(old) == SLICE:  # from the oldest on: as long as all of a slice are old enough
            oldest = states.order_by("id").values_list("id", "replaced_at")[:SLICE]
            old = [id for id, replaced_at in oldest if replaced_at < before]
            in_transaction(partial(remove, states.filter(id__in=old)))
            removed[level.plural] += len(old)
            yield len(old)


def _forget(**conditions: Any) -> int:
    """Removes the records of deletions of which nothing is left: neither a row that they took, nor their root."""
    return remove(_without_root(Deletion.objects.filter(**conditions), Q()).exclude(_has_rows()))


def _has_rows() -> Q:
    """Of a deletion: that some of the rows which it took are still there."""
    taken = (level.all_objects.filter(deletion_guid=OuterRef("guid")) for level in LEVELS)
    return Q(*map(Exists, taken), _connector=Q.OR)


def _without_root(deletions: "QuerySet[Deletion]", there: Q) -> "QuerySet[Deletion]":
    """Those whose root is not `there` any more."""
    for level in LEVELS:
        root = level.all_objects.filter(there, guid=OuterRef("root_guid"))
        deletions = deletions.exclude(Exists(root), kind=level.kind.value)
    return deletions
