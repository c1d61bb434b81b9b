"""The core's view of rlite.engine.errors: each text as bytes that outlive everything, read without the GIL."""
from libc.string cimport memset

from rlite.engine import errors

TEXTS = (
    "", errors.SYNTAX, errors.NOT_AN_INTEGER, errors.NOT_A_FLOAT, errors.WRONG_TYPE, errors.OVERFLOW,
    errors.DECR_OVERFLOW, errors.NAN_OR_INFINITY, errors.OFFSET_OUT_OF_RANGE, errors.STRING_TOO_LONG,
    errors.OUT_OF_MEMORY, errors.EXPIRE_NX_WITH_OTHERS, errors.EXPIRE_GT_WITH_LT, errors.INVALID_EXPIRE,
    errors.UNSUPPORTED_OPTION, errors.WRONG_ARITY, errors.MUST_BE_POSITIVE, errors.HASH_NOT_AN_INTEGER,
    errors.ZADD_NX_XX, errors.ZADD_GT_LT_NX, errors.ZADD_INCR_PAIRS, errors.SCORE_NAN, errors.STREAM_ID,
    errors.STREAM_ID_SMALLER, errors.STREAM_ID_ZERO, errors.STREAM_ID_LAST, errors.LIMIT_WITHOUT_APPROX,
    errors.TRIM_TWICE, errors.MAXLEN_NEGATIVE, errors.LIMIT_NEGATIVE, errors.XADD_ARITY,
    errors.LIMIT_WITHOUT_STRATEGY,
)
_parts = [tuple(part.encode() for part in text.partition("%s")[::2]) for text in TEXTS]   # keeps the bytes alive

cdef text_t heads[E_COUNT]
cdef text_t tails[E_COUNT]
memset(heads, 0, sizeof(heads))


cdef void fill():
    cdef int i
    cdef bytes head, tail
    for i in range(E_COUNT):
        head, tail = _parts[i]
        heads[i].data, heads[i].size = head, len(head)
        tails[i].data, tails[i].size = tail, len(tail)


if len(TEXTS) != E_COUNT:
    raise AssertionError("errors.pxd and errors.pyx disagree")
fill()


cdef text_t error_text(int which) noexcept nogil:
    return heads[which]


cdef text_t error_tail(int which) noexcept nogil:
    return tails[which]
