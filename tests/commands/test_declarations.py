"""Every declared command is what Redis says it is, and obeys its own declaration."""

import pytest
from support.servers import Server
from support.wire import Array, Bulk, Err, Int, Null, Reply, Simple

from rlite.engine.commands import declare_all
from rlite.engine.commands.declare import REGISTRY, Command
from rlite.engine.commands.introspect import ACCESS_ORDER, CATEGORY_ORDER, FLAG_ORDER
from rlite.engine.commands.syntax import Argument, arguments

declare_all()

# What the peer (7.0.15) does not have, or says otherwise than 7.4, which is what we follow.
NEWER = {
    "CLIENT SETINFO": "since 7.2",
    "CLIENT NO-TOUCH": "since 7.2",
    "ZRANK": "WITHSCORE since 7.2",
    "ZREVRANK": "WITHSCORE since 7.2",
    **dict.fromkeys(
        ["BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BZPOPMIN", "BZPOPMAX"], "in scripts since 7.2"
    ),
    **{name: f"since {each.since}" for name, each in REGISTRY.items() if each.since >= "7.2.0"},
}
DECLARED = [each for each in REGISTRY.values() if each.name not in NEWER]


def _comparable(reply: Reply) -> Reply:
    """COMMAND INFO without remarks in words, and without subcommands, which are compared on their own."""
    assert isinstance(reply, Array), f"not a command: {reply}"
    items = list(reply.items)
    specs = items[8]
    assert isinstance(specs, Array)
    items[8] = Array(tuple(_without_notes(spec) for spec in specs.items))
    return Array(tuple(items[:9]))


def _without_notes(spec: Reply) -> Reply:
    assert isinstance(spec, Array)
    return Array(spec.items[2:] if spec.items[0] == Bulk(b"notes") else spec.items)


@pytest.mark.parametrize("command", DECLARED, ids=lambda each: each.counted_as)
def test_command_info_is_that_of_redis(rlite: Server, redis_peer: Server, command: Command) -> None:
    with rlite.wire() as ours, redis_peer.wire() as theirs:
        (mine,), (other,) = (
            reply.items
            for wire in (ours, theirs)
            if isinstance(reply := wire.command("COMMAND", "INFO", command.counted_as), Array)
        )
    assert _comparable(mine) == _comparable(other)


@pytest.mark.parametrize("command", REGISTRY.values(), ids=lambda each: each.counted_as)
def test_a_wrong_number_of_arguments_is_refused_by_name(rlite: Server, command: Command) -> None:
    words = command.name.split(" ")
    wanted = Err(f"ERR wrong number of arguments for '{command.counted_as}' command".encode())
    if command.name == "EXEC":  # its refusal ends the transaction, and says so
        wanted = Err(b"EXECABORT Transaction discarded because of: " + wanted.text.removeprefix(b"ERR "))
    tried = 0
    with rlite.wire() as wire:
        for count in range(len(words), abs(command.arity) + 2):
            # What follows a container's name is a subcommand, known or not.
            if not command.accepts(count) and not (command.subcommands and count > len(words)):
                assert wire.command(*words, *(["x"] * (count - len(words)))) == wanted
                tried += 1
    assert tried or command.accepts(len(words))


@pytest.mark.parametrize("command", REGISTRY.values(), ids=lambda each: each.counted_as)
def test_a_declaration_uses_only_known_words(command: Command) -> None:
    assert command.flags - {"sentinel", "protected", "may_replicate"} <= set(FLAG_ORDER)
    assert command.categories <= set(CATEGORY_ORDER)
    for keys in (command.keys, *command.keys.more):
        assert set(keys.access) <= set(ACCESS_ORDER)
        assert bool(keys.access) == bool(keys), "a key without its access"
    assert command.summary.endswith(".")
    assert command.complexity
    assert command.since.count(".") == 2


def fewest_words(argument: Argument) -> int:
    """How many words the shortest form of an argument takes."""
    if argument.type == "oneof":
        return bool(argument.token) + min(fewest_words(part) for part in argument.parts)
    if argument.type == "block":
        return bool(argument.token) + sum(fewest_words(part) for part in argument.parts if not part.optional)
    return 1 + (bool(argument.token) and argument.type != "pure-token")


@pytest.mark.parametrize("command", REGISTRY.values(), ids=lambda each: each.counted_as)
def test_the_arity_agrees_with_the_syntax(command: Command) -> None:
    if command.is_container:
        return
    words = len(command.name.split(" "))
    required = options = 0
    for argument in arguments(command.syntax, command.name):
        required += 0 if argument.optional else fewest_words(argument)
        options += argument.optional or argument.multiple
    if command.name in ("CLIENT KILL", "CLIENT SETINFO"):
        return  # a required choice of options, each of another length
    assert words + required == abs(command.arity)
    assert (command.arity < 0) == (options > 0 or bool(command.subcommands) or command.name == "QUIT")


def test_unknown_commands_have_no_info(rlite: Server) -> None:
    with rlite.wire() as wire:
        assert wire.command("COMMAND", "INFO", "nosuch") == Array((Null(b"$"),))
        assert wire.command("COMMAND", "DOCS", "nosuch") == Array(())
        count = wire.command("COMMAND", "COUNT")
    assert count == Int(len([name for name in REGISTRY if " " not in name]))


def test_acl_categories_are_statuses_with_an_at_sign(rlite: Server) -> None:
    with rlite.wire() as wire:
        reply = wire.command("COMMAND", "INFO", "get")
    assert isinstance(reply, Array)
    (info,) = reply.items
    assert isinstance(info, Array)
    assert info.items[6] == Array((Simple(b"@read"), Simple(b"@string"), Simple(b"@fast")))
