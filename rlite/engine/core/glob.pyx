"""Glob patterns as Redis understands them: `*`, `?`, `[a-c]`, `[^x]`, and `\\` before a character meant literally.

A `*` that fails to match gives way to the last `*` only, never to one before it: the text before the later star is
already matched as early as it can be, so going further back cannot help. The work is bounded by the product of the
two lengths, whatever a stranger sends.
"""


cdef inline unsigned char fold(unsigned char ch, bint nocase) noexcept nogil:
    return ch + 32 if nocase and c'A' <= ch <= c'Z' else ch


cdef const char* match_class(const char* p, const char* end, unsigned char ch, bint nocase,
                             bint* matched) noexcept nogil:
    """Reads a class that begins behind `[`. Returns the place behind its `]`, or the end where there is none."""
    cdef bint negated = False, hit = False
    cdef unsigned char low, high, swap
    ch = fold(ch, nocase)
    if p < end and p[0] == c'^':
        negated = True
        p += 1
    while p < end and p[0] != c']':
        if p[0] == c'\\' and p + 1 < end:
            p += 1
            hit = hit or <unsigned char>p[0] == ch
            p += 1
        elif p + 2 < end and p[1] == c'-':
            low, high = fold(p[0], nocase), fold(p[2], nocase)
            if low > high:
                swap = low
                low = high
                high = swap
            hit = hit or low <= ch <= high
            p += 3
        else:
            hit = hit or fold(p[0], nocase) == ch
            p += 1
    matched[0] = hit != negated
    return p + 1 if p < end else end


cdef bint glob_match(const char* pattern, size_t plen, const char* text, size_t tlen, bint nocase) noexcept nogil:
    cdef:
        const char* p = pattern
        const char* pend = pattern + plen
        const char* t = text
        const char* tend = text + tlen
        const char* star = NULL        # behind the last `*`
        const char* retry = NULL       # where the text stood then, moved on at each failure
        const char* after
        bint matched
    if tlen == 0:
        return plen == 0           # Redis's matcher never looks at the pattern then: `**` does not match nothing
    while t < tend:
        if p < pend:
            if p[0] == c'*':
                p += 1
                star, retry = p, t
                continue
            after = p + 1
            if p[0] == c'?':
                matched = True
            elif p[0] == c'[':
                after = match_class(p + 1, pend, <unsigned char>t[0], nocase, &matched)
            else:
                if p[0] == c'\\' and p + 1 < pend:
                    p += 1
                    after = p + 1
                matched = fold(p[0], nocase) == fold(t[0], nocase)
            if matched:
                p = after
                t += 1
                continue
        if star == NULL:
            return False
        retry += 1
        p, t = star, retry
    while p < pend and p[0] == c'*':
        p += 1
    return p == pend


def matches(bytes pattern, bytes text, bint nocase=False) -> bool:
    """Whether `text` matches the glob `pattern`."""
    return glob_match(pattern, len(pattern), text, len(text), nocase)
