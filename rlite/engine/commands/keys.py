"""Commands on keys of any type: the declarations of those the core implements (core/generic.pyx)."""

from rlite.engine.commands.declare import core_command

core_command(
    "DEL key [key ...]", arity=-2, flags="write", keys=(1, -1, 1), access="RM delete",
    group="generic", since="1.0.0", complexity="O(n) where n is the number of keys",
    tips=["request_policy:multi_shard", "response_policy:agg_sum"],
    summary="Deletes keys.",
)  # fmt: skip
core_command(
    "UNLINK key [key ...]", arity=-2, flags="write fast", keys=(1, -1, 1), access="RM delete",
    group="generic", since="4.0.0", complexity="O(1) for each key; large values are freed later",
    tips=["request_policy:multi_shard", "response_policy:agg_sum"],
    summary="Deletes keys, their memory freed without making anyone wait.",
)  # fmt: skip
core_command(
    "EXISTS key [key ...]", arity=-2, flags="readonly fast", keys=(1, -1, 1), access="RO",
    group="generic", since="1.0.0", complexity="O(n) where n is the number of keys",
    tips=["request_policy:multi_shard", "response_policy:agg_sum"],
    summary="Counts how many of the keys exist; a key named twice counts twice.",
)  # fmt: skip
core_command(
    "TOUCH key [key ...]", arity=-2, flags="readonly fast", keys=(1, -1, 1), access="RO",
    group="generic", since="3.2.1", complexity="O(n) where n is the number of keys",
    tips=["request_policy:multi_shard", "response_policy:agg_sum"],
    summary="Marks keys as just used, and counts those that exist.",
)  # fmt: skip
core_command(
    "TYPE key", arity=2, flags="readonly fast", keys=(1, 1, 1), access="RO",
    group="generic", since="1.0.0", complexity="O(1)", summary="Names the type of the value at a key.",
)  # fmt: skip
