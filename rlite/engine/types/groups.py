"""Consumer groups of a stream: what was delivered to whom and is not acknowledged yet.

A stream holds one `Groups` (core/streamlog.pxd); it reports what it takes as `memory`, which counts as the
stream's. Every entry delivered and not acknowledged is one `Pending`, listed with its group and its consumer.
Ids are pairs (milliseconds, sequence). Runs with the GIL, under the lock of the stream's stripe.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from sys import getsizeof

from sortedcontainers import SortedDict

Id = tuple[int, int]


@dataclass(slots=True)
class Pending:
    """One delivery. delivered_at: Unix milliseconds; count: deliveries so far."""

    consumer: "Consumer"
    delivered_at: int
    count: int = 1


@dataclass(slots=True)
class Consumer:
    """seen_at: when it last tried; active_at: when it last got something (None: never); Unix milliseconds."""

    name: bytes
    seen_at: int
    active_at: int | None = None
    pending: "SortedDict[Id, Pending]" = field(default_factory=SortedDict)


@dataclass(slots=True)
class Group:
    """read: how many entries of the stream were read up to last_id; None where that is not known."""

    last_id: Id
    read: int | None
    consumers: dict[bytes, Consumer] = field(default_factory=dict)
    pending: "SortedDict[Id, Pending]" = field(default_factory=SortedDict)

    def consumer(self, name: bytes, now: int) -> tuple[Consumer, bool]:
        """(the consumer of this name, whether it is new)."""
        found = self.consumers.get(name)
        if found is not None:
            return found, False
        made = self.consumers[name] = Consumer(name, now)
        return made, True

    def give(self, id_: Id, consumer: Consumer, now: int) -> Pending:
        """An entry is delivered to a consumer; whoever had it has it no more."""
        pending: Pending | None = self.pending.get(id_)
        if pending is None:
            pending = self.pending[id_] = Pending(consumer, now)
        elif pending.consumer is not consumer:
            del pending.consumer.pending[id_]
            pending.consumer = consumer
        consumer.pending[id_] = pending
        return pending

    def forget(self, id_: Id) -> bool:
        """The entry is acknowledged, or gone. False: it was not pending."""
        pending = self.pending.pop(id_, None)
        if pending is None:
            return False
        del pending.consumer.pending[id_]
        return True

    def drop_consumer(self, name: bytes) -> int | None:
        """Removes a consumer and what it had pending; returns how much that was. None: no such consumer."""
        gone = self.consumers.pop(name, None)
        if gone is None:
            return None
        for id_ in gone.pending:
            del self.pending[id_]
        return len(gone.pending)

    def named(self) -> Iterator[Consumer]:
        """The consumers in the order of their names."""
        return (self.consumers[name] for name in sorted(self.consumers))


def _cost_of_pending() -> int:
    """What one delivery takes: itself, its id, and its places in two sorted dicts (list and hash table)."""
    one, id_ = Pending(Consumer(b"", 0), 2**40), (2**40, 2**31)
    places = dict.fromkeys(range(1000))
    a_place = getsizeof(places) // len(places) + getsizeof([0] * 1000) // 1000
    return getsizeof(one) + getsizeof(id_) + sum(map(getsizeof, id_)) + getsizeof(2**40) + 2 * a_place


PENDING_BYTES = _cost_of_pending()
EMPTY_BYTES = 2 * getsizeof({}) + getsizeof([]) * 3 + getsizeof(SortedDict())
CONSUMER_BYTES = getsizeof(Consumer(b"", 0)) + EMPTY_BYTES
GROUP_BYTES = getsizeof(Group((0, 0), 0)) + getsizeof({}) + EMPTY_BYTES


class Groups(dict[bytes, Group]):
    """The groups of one stream, by name."""

    __slots__ = ()

    @property
    def memory(self) -> int:
        """What all of it takes, from the sizes of its parts; O(groups and consumers)."""
        total = getsizeof(self)
        for name, group in self.items():
            total += GROUP_BYTES + getsizeof(name) + PENDING_BYTES * len(group.pending)
            total += sum(CONSUMER_BYTES + getsizeof(consumer) for consumer in group.consumers)
        return total

    def copied(self) -> "Groups":
        """A copy that shares nothing that can change."""
        made = Groups()
        for name, group in self.items():
            other = made[name] = Group(group.last_id, group.read)
            for consumer in group.consumers.values():
                other.consumers[consumer.name] = Consumer(consumer.name, consumer.seen_at, consumer.active_at)
            for id_, pending in group.pending.items():
                owner = other.consumers[pending.consumer.name]
                entry = Pending(owner, pending.delivered_at, pending.count)
                other.pending[id_] = owner.pending[id_] = entry
        return made

    def named(self) -> list[tuple[bytes, Group]]:
        """The groups in the order of their names."""
        return sorted(self.items(), key=lambda item: item[0])
