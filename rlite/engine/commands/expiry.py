"""The declarations of the expiry commands; the core implements them (core/generic.pyx)."""

from rlite.engine.commands.declare import core_command

core_command(
    "EXPIRE key seconds [NX | XX | GT | LT]", arity=-3, flags="write fast",
    keys=(1, 1, 1), access="RW update",
    group="generic", since="1.0.0", complexity="O(1)",
    summary="Sets a key's time to live in seconds.",
)  # fmt: skip

core_command(
    "PEXPIRE key milliseconds [NX | XX | GT | LT]", arity=-3, flags="write fast",
    keys=(1, 1, 1), access="RW update",
    group="generic", since="2.6.0", complexity="O(1)",
    summary="Sets a key's time to live in milliseconds.",
)  # fmt: skip

core_command(
    "EXPIREAT key unix-time-seconds [NX | XX | GT | LT]", arity=-3, flags="write fast",
    keys=(1, 1, 1), access="RW update",
    group="generic", since="1.2.0", complexity="O(1)",
    summary="Sets the Unix second at which a key goes.",
)  # fmt: skip

core_command(
    "PEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT]", arity=-3, flags="write fast",
    keys=(1, 1, 1), access="RW update",
    group="generic", since="2.6.0", complexity="O(1)",
    summary="Sets the Unix millisecond at which a key goes.",
)  # fmt: skip

core_command(
    "TTL key", arity=2, flags="readonly fast", keys=(1, 1, 1), access="RO access",
    group="generic", since="1.0.0", complexity="O(1)",
    tips=["nondeterministic_output"],
    summary="Returns the seconds a key has left.",
)  # fmt: skip

core_command(
    "PTTL key", arity=2, flags="readonly fast", keys=(1, 1, 1), access="RO access",
    group="generic", since="2.6.0", complexity="O(1)",
    tips=["nondeterministic_output"],
    summary="Returns the milliseconds a key has left.",
)  # fmt: skip

core_command(
    "EXPIRETIME key", arity=2, flags="readonly fast", keys=(1, 1, 1), access="RO access",
    group="generic", since="7.0.0", complexity="O(1)",
    summary="Returns the Unix second at which a key goes.",
)  # fmt: skip

core_command(
    "PEXPIRETIME key", arity=2, flags="readonly fast", keys=(1, 1, 1), access="RO access",
    group="generic", since="7.0.0", complexity="O(1)",
    summary="Returns the Unix millisecond at which a key goes.",
)  # fmt: skip

core_command(
    "PERSIST key", arity=2, flags="write fast", keys=(1, 1, 1), access="RW update",
    group="generic", since="2.2.0", complexity="O(1)",
    summary="Takes a key's deadline away.",
)  # fmt: skip
