"""The errors that commands of the core can answer with. Their texts stand in rlite.engine.errors."""

cdef enum:                     # in the order of TEXTS in errors.pyx
    E_NONE = 0
    E_SYNTAX
    E_NOT_AN_INTEGER
    E_NOT_A_FLOAT
    E_WRONG_TYPE
    E_OVERFLOW
    E_DECR_OVERFLOW
    E_NAN_OR_INFINITY
    E_OFFSET_OUT_OF_RANGE
    E_STRING_TOO_LONG
    E_OUT_OF_MEMORY
    E_EXPIRE_NX_WITH_OTHERS
    E_EXPIRE_GT_WITH_LT
    E_INVALID_EXPIRE           # with the command's name
    E_UNSUPPORTED_OPTION       # with the option
    E_WRONG_ARITY              # with the command's name
    E_MUST_BE_POSITIVE
    E_HASH_NOT_AN_INTEGER
    E_ZADD_NX_XX
    E_ZADD_GT_LT_NX
    E_ZADD_INCR_PAIRS
    E_SCORE_NAN
    E_STREAM_ID
    E_STREAM_ID_SMALLER
    E_STREAM_ID_ZERO
    E_STREAM_ID_LAST
    E_LIMIT_WITHOUT_APPROX
    E_TRIM_TWICE
    E_MAXLEN_NEGATIVE
    E_LIMIT_NEGATIVE
    E_XADD_ARITY
    E_LIMIT_WITHOUT_STRATEGY
    E_COUNT

cdef struct text_t:
    const char* data
    size_t size

cdef text_t error_text(int which) noexcept nogil     # where it names something, the part up to %s
cdef text_t error_tail(int which) noexcept nogil     # what comes after %s
