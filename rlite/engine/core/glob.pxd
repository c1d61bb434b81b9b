"""Glob patterns as Redis understands them (KEYS, SCAN MATCH, CONFIG GET, PSUBSCRIBE)."""

cdef bint glob_match(const char* pattern, size_t plen, const char* text, size_t tlen, bint nocase) noexcept nogil
