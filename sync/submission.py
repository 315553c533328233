"""The one door in: lines go in, a Run comes out; all or nothing, or without the lines that are at fault. A batch is
recognised, checked (sync.schemas), looked up, planned (sync.planning) and written (pieces.changes), in one transaction
with its receipt. The number of statements does not depend on its size; rows that stay as they are get no lock and no
write."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast
from uuid import UUID as Guid

import msgspec
from django.db import OperationalError, connection, transaction
from rest_framework.exceptions import PermissionDenied

from pieces import changes
from pieces.acts import Origin
from pieces.changes import Acts, Stale
from pieces.clashes import Clash
from pieces.content import content_of, sent_digest
from pieces.models import LEVELS, Entity
from pieces.querysets import VERSION, fetched
from pieces.receipts import Receipt
from ractory.api.errors import ConflictRetry, Fault, Unprocessable, shown
from ractory.api.retry import LOCK_NOT_AVAILABLE, in_transaction, sqlstate
from sync.models import Snapshot
from sync.planning import Action, Context, Parent, Plan, look, make_plan
from sync.schemas import Item, Line, parse
from sync.snapshots import hold_open, note_seen, relations_of
from tenants.scope import current_scope

logger = logging.getLogger(__name__)

KNOWN_BY = ("piece_id", "barcode", "code", "trolley_cell", "guid")  # an item, by the first of these that it has
SAMPLE = 16  # lines that are tried first: where none of them comes again, hardly any will
MAX_TRIES = 10  # at a batch, leaving out the lines that the last try found at fault
MAX_LOOKS = 10  # at a batch whose rows keep changing between looking and locking
MAX_WAIT = 50  # milliseconds for a lock, of rows that are stamped already


@dataclass(frozen=True, slots=True)
class Options:
    strict: bool = False  # unknown fields are faults
    match: bool = False  # an item without a guid is the active row with its piece_id or code (sync.matching)
    snapshot: Snapshot | None = None  # the complete set that all items must be of; what they name is noted as seen
    dry_run: bool = False  # all the work, and nothing is written but the receipt
    undoing: bool = False  # what has been deleted may go back below parents that are
    leave_out: bool = False  # lines at fault, and carry out the others
    line_numbers: Sequence[int] = ()  # in the file that the lines are of, for the receipt; by place
    receipt: bool = True
    idempotency_key: str | None = None  # for the receipt


class Outcome(NamedTuple):
    """What became of a line. No guid: it matched nothing and was not to be there."""

    place: int
    guid: Guid | None
    action: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Receipt):
    """What became of a submission; its receipt is saved with the data."""

    outcomes: Sequence[Outcome] = ()  # in the order of the lines, without those that were left out
    left_out: Sequence[Fault] = ()  # what is wrong with the lines that were left out


def _at_lines(faults: Sequence[Fault], line_numbers: Sequence[int]) -> Iterator[Fault]:
    """The faults of lines that were left out, with their lines in the file, for the receipt."""
    for fault in faults:
        number = line_numbers[cast(int, fault.loc[2])]
        loc = (*fault.loc[:2], number - 1, *fault.loc[3:])
        yield replace(fault, loc=loc, msg=f"Line {number}: {fault.msg}")


def _with_names(lines: Sequence[Line], faults: Sequence[Fault]) -> list[Fault]:
    """The faults with the names of their items, as far as these can be read, for whoever reads the receipt."""
    raws: dict[Any, bytes] = {(line.place,): line.raw for line in lines} if faults else {}
    return [replace(fault, item=_name_in(raws.get(fault.loc[2:3], b"{}"))) for fault in faults]


def _name_in(item: bytes) -> str:
    with suppress(ValueError, RecursionError, AttributeError):  # no JSON, or no object
        fields = msgspec.json.decode(item)
        named = (fields.get(name) for name in KNOWN_BY)
        return next((str(name) for name in named if name and isinstance(name, str | int)), "")
    return ""


class Claim:
    """What else is to be in the transaction of a submission. This one is for nothing."""

    def take(self) -> None:
        """Before anything is done; what it raises ends the submission."""

    def keep(self, run: Run) -> None:
        """When all is done."""


def submit(
    model: type[Entity],
    lines: Sequence[Line],
    *,
    origin: Origin,
    options: Options | None = None,
    claim: Claim | None = None,
    faults: Sequence[Fault] = (),
    names: Sequence[str] = (),
) -> Run:
    """Inserts or updates what the lines say, within the tenant scope and in a transaction of its own (contract,
    "Sync"). `faults` are known already: of what the lines came in, or of lines that could not be read; `names` are
    unknown ones beside the lines. Raises Unprocessable with every fault, each at its line's place, ParseError for one
    that can't be read, PermissionDenied for an item of another company, ConflictRetry; then nothing is written. With
    `leave_out` the faults of lines that were left out are in the Run, unless others turned out to be at fault again and
    again."""
    options, claim = options or Options(), claim or Claim()
    checked = _check(model, lines, options, faults, names)
    tries = MAX_TRIES if options.leave_out else 1
    for left in reversed(range(tries)):
        try:
            return in_transaction(lambda: _carry_out(model, checked, origin, options, claim))
        except Unprocessable as refusal:
            if not left:
                raise Unprocessable(_with_names(lines, refusal.found), ignored=checked.ignored) from refusal
            for fault in refusal.found:
                checked.items.pop(cast(int, fault.loc[2]), None)
            checked.left_out += _with_names(lines, refusal.found)
    raise AssertionError("the last try returns or raises")


@dataclass(slots=True)
class _Checked:
    """What may go in of the lines, by their places, and why the others may not."""

    received: int
    items: dict[int, Item]
    raws: Mapping[int, bytes]  # of items that may be recognised by their bytes when they come again
    recognised: Mapping[int, Guid]
    ignored: Sequence[str]
    left_out: list[Fault]


def _check(
    model: type[Entity], lines: Sequence[Line], options: Options, faults: Sequence[Fault], names: Sequence[str]
) -> _Checked:
    """Decodes and checks the lines that are not recognised, each once. Raises as `submit` does."""
    recognised = _recognised(model, lines, relations_of(options.snapshot))
    rest = [line for line in lines if line.place not in recognised]
    batch = parse(model, rest, strict=options.strict, faults=faults, names=names, leave_out=options.leave_out)
    if batch.fault_count and not options.leave_out:
        raise Unprocessable(_with_names(lines, batch.faults), batch.kinds, ignored=batch.ignored)
    items = {line.place: item for line, item in zip(rest, batch.items, strict=True) if item is not None}
    scope, left_out = current_scope(), list(batch.faults)
    for place in [place for place, item in items.items() if not scope.covers(item["company_guid"])]:
        company = items.pop(place)["company_guid"]
        if not options.leave_out:
            raise PermissionDenied(f"{model.plural}[{place}]: company {company} is not yours.")
        msg = f"The file is imported into company {scope.company}, got {shown(str(company))}"
        left_out.append(Fault(("body", model.plural, place, "company_guid"), msg, "company_foreign"))
    received = len(lines) + len({fault.loc[2] for fault in faults if len(fault.loc) > 2})
    raws = {} if batch.ignored else {line.place: line.raw for line in rest}
    return _Checked(received, items, raws, recognised, batch.ignored, _with_names(lines, left_out))


def _carry_out(model: type[Entity], checked: _Checked, origin: Origin, options: Options, claim: Claim) -> Run:
    """The transaction: data, receipt, and what the claim is for."""
    claim.take()
    if options.snapshot:
        hold_open(options.snapshot.guid)
    with transaction.atomic() if options.dry_run else nullcontext():  # a savepoint to go back to
        outcomes = write_items(model, checked.items, Acts(origin), options, checked.raws, checked.recognised)
        if options.dry_run:
            transaction.set_rollback(True)
    outcomes += [Outcome(place, guid, Action.UNCHANGED) for place, guid in checked.recognised.items()]
    actions = Counter(outcome.action for outcome in outcomes)
    counts = {action.value: actions[action] for action in Action}
    counts["updated"] = len(outcomes) - counts["inserted"]  # as in the answer: all that were there already
    company = current_scope().company
    if company is None and len(companies := {item["company_guid"] for item in checked.items.values()}) == 1:
        company = companies.pop()
    left_out = sorted(checked.left_out, key=lambda fault: fault.loc[2:3])
    run = Run(
        model=model,
        origin=origin,
        company=company,
        received=checked.received,
        counts=counts,
        outcomes=sorted(outcomes),
        ignored=checked.ignored,
        left_out=left_out,
        **Unprocessable(list(_at_lines(left_out, options.line_numbers))).records(),
        http_status=200 if outcomes or not checked.left_out else Unprocessable.status_code,
        dry_run=options.dry_run,
        idempotency_key=options.idempotency_key,
    )
    if options.receipt:
        run.save()
    if options.snapshot and not options.dry_run:
        note_seen(options.snapshot, [outcome.guid for outcome in run.outcomes if outcome.guid])
    claim.keep(run)
    return run


def _recognised(model: type[Entity], lines: Sequence[Line], snapshot: Mapping[str, Guid]) -> dict[int, Guid]:
    """The lines that are stored as they are, by place; asks the database twice at most. A row remembers the bytes of
    the item that wrote it last (pieces.content.sent_digest): the same bytes need not be decoded as long as nobody has
    written the row since."""
    if current_scope().company is None:
        return {}
    tried = lines[:: len(lines) // SAMPLE + 1]
    found = _unchanged(model, tried, snapshot)
    return _unchanged(model, lines, snapshot) if found and len(tried) < len(lines) else found


def _unchanged(model: type[Entity], lines: Iterable[Line], snapshot: Mapping[str, Guid]) -> dict[int, Guid]:
    """Which of these lines are stored as they are, in the snapshot; none, where two have one guid."""
    named = [(guid, line) for line in lines if (guid := _guid_in(line.raw))]
    line_of = {guid.bytes: line for guid, line in named}
    if not named or len(line_of) < len(named):
        return {}
    rows = model.objects.filter(guid__any_of=[guid for guid, _ in named], sent_digest__isnull=False, **snapshot)
    content, found = content_of(model), {}
    for guid, digest in fetched(rows.values_list("guid", "sent_digest")):
        line = line_of[guid.bytes]
        if sent_digest(content, line.raw) == bytes(digest):
            found[line.place] = guid
    return found


class _Named(msgspec.Struct):
    guid: Guid | None = None


_decoder = msgspec.json.Decoder(_Named)


def _guid_in(item: bytes) -> Guid | None:
    """The item's guid, where the decoder of the batch finds it: not in a nested object, and the last of two."""
    try:
        return _decoder.decode(item).guid
    except (msgspec.DecodeError, RecursionError):  # whoever checks the item will name it
        return None


def write_items(
    model: type[Entity],
    items: Mapping[int, Item],
    acts: Acts,
    options: Options,
    raws: Mapping[int, bytes] | None = None,
    recognised: Mapping[int, Guid] | None = None,
) -> list[Outcome]:
    """Looks, plans, locks, makes sure that nothing has changed meanwhile, and writes; within a transaction."""
    relations = relations_of(options.snapshot)
    for attempt in range(MAX_LOOKS) if items else ():
        context = look(model, items, match=options.match, raws=raws, recognised=recognised, snapshot=relations)
        plan = make_plan(model, context, undoing=options.undoing)
        if plan.faults:
            raise Unprocessable(plan.faults)
        if _written(model, plan, context, acts, lock=attempt > 0 or not plan.is_plain):
            return list(map(Outcome, items, [placed.guid for placed in context.items], plan.actions))
    if items:
        raise ConflictRetry
    return []


def _written(model: type[Entity], plan: Plan, context: Context, acts: Acts, *, lock: bool) -> bool:
    """Carries the plan out, if what it rests on is still as in the context; else nothing is written. Without `lock` it
    is the UPDATE itself that leaves a row alone which somebody has written meanwhile."""
    if not (plan.inserts or plan.updates):
        return True
    if not connection.features.has_select_for_update:  # SQLite, where a writing transaction is alone
        _write(model, plan, context, acts)
        return True
    # Shares the parents with other syncs, from the top, but keeps them from deletion and moves.
    for level in LEVELS:
        if guids := plan.rests_on.get(level.kind):
            shared = level.all_objects.filter(guid__any_of=list(guids.values())).shared(*Parent.columns(level))
            if Parent.by_guid(shared) != {key: context.parents[level.kind].get(key) for key in guids}:
                return False
    if lock and plan.updates:  # in guid order
        in_order = sorted(plan.updates, key=lambda change: change.guid.int)
        rows = model.all_objects.filter(guid__any_of=[change.guid for change in in_order])
        found = fetched(rows.order_by("guid").values_list(VERSION), lock="FOR NO KEY UPDATE")
        if found != [(change.version,) for change in in_order]:
            return False
    waits = lock or not plan.updates
    try:
        if waits:
            _write(model, plan, context, acts, verify=not lock)
            return True
        # PostgreSQL stamps a row before it waits for its lock: so this does not wait, and is undone if a lock is not to
        # be had at once. The next look locks the rows first, and waits then.
        with acts.savepoint(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = %s", [f"{MAX_WAIT}ms"])
            _write(model, plan, context, acts, verify=True)
            cursor.execute("SET LOCAL lock_timeout TO DEFAULT")
    except Stale:
        return False
    except OperationalError as error:
        if waits or sqlstate(error) != LOCK_NOT_AVAILABLE:
            raise
        return False
    return True


def _write(model: type[Entity], plan: Plan, context: Context, acts: Acts, *, verify: bool = False) -> None:
    changes.soft_delete(plan.deletions, acts=acts)
    with changes.out_of_the_way(plan.out_of_the_way, acts=acts):
        changes.update(model, plan.updates, acts=acts, verify=verify)
        changes.insert(model, plan.inserts, acts=acts)
    if plan.moved:
        _check_clashes(model, context, model.parents[-1].column, changes.carry_below(model, plan.moved, acts=acts))
    _check_clashes(model, context, "guid", changes.restore(model, plan.restored, acts=acts))
    if not plan.is_plain:
        acts.forget_between(model, *model.below())


def _check_clashes(model: type[Entity], context: Context, column: str, clashes: Sequence[Clash]) -> None:
    """422 for pieces below that can't follow, at the item that would take them along."""
    place_of = {placed.guid.bytes: placed.place for placed in context.items if placed.guid} if clashes else {}
    faults = []
    for clash in clashes:
        loc = ("body", model.plural, place_of[clash.parents[model.kind].bytes], column)
        faults.append(Fault(loc, f"The {clash}", "piece_id_taken", clash.mentions))
    if faults:
        raise Unprocessable(sorted(faults, key=lambda fault: fault.loc[2]))
