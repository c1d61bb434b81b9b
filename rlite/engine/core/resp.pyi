from rlite.engine.reply import Reply

class IncompleteError(Exception):
    """The reply does not end in the bytes at hand."""

def decode_reply(data: bytes, at: int) -> tuple[Reply, int]: ...
def encode(reply: Reply, resp: int) -> bytes: ...
