"""HyperLogLog: PFADD, PFCOUNT, PFMERGE. The registers are the core's (core/hyperloglog.pyx); the values are
strings that begin with a header of their own.
"""

import random
from collections.abc import Iterable

from rlite.engine import errors
from rlite.engine.commands.call import Call
from rlite.engine.commands.declare import Keys, command
from rlite.engine.commands.watching import signal_changed
from rlite.engine.core import hyperloglog as core
from rlite.engine.errors import CommandError
from rlite.engine.reply import OK, Reply, Simple


def opened(call: Call, key: bytes) -> bytearray | None:
    """A copy of the HyperLogLog at a key; None where there is no such key. Raises CommandError for another
    type, and for a string that is none.
    """
    value = call.db.get(key)
    if value is None:
        return None
    if not core.looks_right(value):
        raise CommandError(errors.NOT_A_HYPERLOGLOG)
    return bytearray(value)


def keep(call: Call, key: bytes, hll: bytearray) -> None:
    call.db.set(key, bytes(hll), keep_ttl=True, raw=True)


def most(call: Call) -> int:
    """The longest a sparse value may get, in bytes."""
    return call.server.config.int("hll-sparse-max-bytes")


def joined(values: Iterable[bytearray | None]) -> bytearray:
    """The registers that have seen what any of these has (None: no such key). Raises CommandError."""
    total = core.registers(core.fresh())
    for hll in values:
        if hll is not None:
            core.raise_all(total, registers(hll))
    return total


def registers(hll: bytearray) -> bytearray:
    try:
        return core.registers(hll)
    except ValueError:
        raise CommandError(errors.CORRUPT_HYPERLOGLOG) from None


@command(
    "PFADD key [element [element ...]]", arity=-2, flags="write denyoom fast", keys=(1, 1, 1),
    access="RW insert", group="hyperloglog", since="2.8.9", complexity="O(1) for each element",
    summary="Shows elements to a HyperLogLog, made where there is none.",
)  # fmt: skip
def pfadd(call: Call) -> Reply:
    key = call.args[1]
    hll = opened(call, key)
    made = hll is None
    if hll is None:
        hll = core.fresh()
    updated = int(made)
    longest = most(call)
    try:
        for element in call.args[2:]:
            updated += core.add(hll, element, longest)
    except ValueError:
        raise CommandError(errors.CORRUPT_HYPERLOGLOG) from None
    if updated:
        core.keep_estimate(hll, None)
        keep(call, key, hll)
        call.changed(updated)
        call.notify("$", "pfadd", key)
    return int(updated > 0)


@command(
    "PFCOUNT key [key ...]", arity=-2, flags="readonly may_replicate", keys=(1, -1, 1), access="RW access",
    group="hyperloglog", since="2.8.9", complexity="O(1); O(n) for several keys, with a large constant",
    summary="Estimates how many different elements were seen.",
)  # fmt: skip
def pfcount(call: Call) -> Reply:
    keys = call.args[1:]
    if len(keys) > 1:
        return core.estimate(joined(opened(call, key) for key in keys))
    hll = opened(call, keys[0])
    call.looked_up(hll is not None)
    if hll is None:
        return 0
    number = core.known_estimate(hll)
    if number is None:
        number = core.estimate(registers(hll))
        core.keep_estimate(hll, number)
        keep(call, keys[0], hll)
        call.changed()
        call.log_as(*call.args)
        signal_changed(call.server, call.db.index, keys)  # it reads, but the value has other bytes now
    return number


@command(
    "PFMERGE destkey [sourcekey [sourcekey ...]]", arity=-2, flags="write denyoom", group="hyperloglog",
    since="2.8.9", complexity="O(n) where n is the number of keys, with a large constant",
    keys=Keys(1, 1, 1, access=("RW", "access", "insert"), more=(Keys(2, -1, 1, access=("RO", "access")),)),
    summary="Makes a HyperLogLog of all that several have seen.",
)  # fmt: skip
def pfmerge(call: Call) -> Reply:
    values = [opened(call, key) for key in call.args[1:]]
    total = joined(values)
    target = values[0]
    dense = any(core.is_dense(hll) for hll in values if hll is not None)
    if target is None:
        target = core.fresh()
    if dense and not core.is_dense(target):
        core.make_dense(target)
    longest = most(call)
    for index, value in enumerate(total):
        if value:
            core.raise_register(target, index, value, longest)
    core.keep_estimate(target, None)
    keep(call, call.args[1], target)
    call.changed()
    call.notify("$", "pfadd", call.args[1])
    return OK


@command(
    "PFDEBUG subcommand key", arity=3, flags="write denyoom admin", keys=(2, 2, 1), access="RW access",
    group="hyperloglog", since="2.8.9", complexity="O(1), with a large constant",
    summary="Shows how a HyperLogLog is kept; makes it dense.",
)  # fmt: skip
def pfdebug(call: Call) -> Reply:
    key = call.args[2]
    hll = opened(call, key)
    if hll is None:
        raise CommandError(errors.NO_SUCH_PFDEBUG_KEY)
    match call.word(1):
        case b"GETREG":
            held = registers(hll)
            make_dense(call, key, hll)
            return list[Reply](held)
        case b"ENCODING":
            return Simple("dense" if core.is_dense(hll) else "sparse")
        case b"TODENSE":
            return int(make_dense(call, key, hll))
        case b"DECODE":
            if core.is_dense(hll):
                raise CommandError(errors.HYPERLOGLOG_IS_DENSE)
            return " ".join(runs(hll)).encode()
    raise CommandError(errors.UNKNOWN_PFDEBUG % call.args[1].decode("latin-1"))


def make_dense(call: Call, key: bytes, hll: bytearray) -> bool:
    """Keeps the value densely. False: it is so already."""
    if core.is_dense(hll):
        return False
    registers(hll)
    core.make_dense(hll)
    keep(call, key, hll)
    call.changed()
    return True


def runs(hll: bytearray) -> Iterable[str]:
    """A sparse value's runs: z:length, Z:length, v:value,length."""
    at = 16
    while at < len(hll):
        first = hll[at]
        if first & 0x80:
            yield f"v:{((first >> 2) & 31) + 1},{(first & 3) + 1}"
        elif first & 0x40:
            yield f"Z:{((first & 63) << 8 | hll[at + 1]) + 1}"
            at += 1
        else:
            yield f"z:{(first & 63) + 1}"
        at += 1


@command(
    "PFSELFTEST", arity=1, flags="admin", group="hyperloglog", since="2.8.9",
    complexity="Not applicable", summary="Checks the registers and the estimates of HyperLogLog.",
)  # fmt: skip
def pfselftest(_call: Call) -> Reply:
    dense = core.fresh()
    core.make_dense(dense)
    wanted = bytearray(len(core.registers(dense)))
    dice = random.Random(1)
    for _ in range(20_000):
        index, value = dice.randrange(len(wanted)), dice.randrange(1, 51)
        core.raise_register(dense, index, value, 0)
        wanted[index] = max(wanted[index], value)
    if core.registers(dense) != wanted:
        raise CommandError(errors.PFSELFTEST % "the registers do not hold what was put into them")
    sparse = core.fresh()
    for seen in range(1, 100_001):
        core.add(sparse, b"%d" % seen, 3000)
        if seen in (10, 100, 1_000, 10_000, 100_000):
            wrong = abs(core.estimate(core.registers(sparse)) - seen)
            if wrong > seen * 0.0325 + 1:  # four standard errors
                raise CommandError(errors.PFSELFTEST % f"{seen} elements were estimated {wrong} off")
    return OK
