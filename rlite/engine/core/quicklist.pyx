# cython: cdivision=True
"""Quicklist: nodes hold as much as `list-max-listpack-size` says (`fill`): so many elements, or a class of bytes."""
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free, malloc

from rlite.engine.core.packed cimport (
    END, HEAD, byte, lp_append, lp_bytes, lp_copy, lp_cost, lp_count, lp_end, lp_first, lp_insert, lp_new, lp_next,
    lp_prev, lp_remove, lp_replace, lp_seek, piece_t, lp_read,
)
from rlite.engine.core.platform cimport rl_granted

cdef enum:
    MAX_NODE = 8192            # bytes of a node whose size counts elements
    SMALLEST_NODE = 4096       # bytes of size class -1; each further one doubles it, up to -5


cdef bint lp_fits(byte* lp, int64_t count, size_t size, int fill) noexcept nogil:
    cdef size_t bytes = lp_bytes(lp) + size + 11
    if fill >= 0:
        return count < (fill if fill else 1) and (bytes <= MAX_NODE or count == 0)
    return bytes <= <size_t>SMALLEST_NODE << (-fill - 1 if fill >= -5 else 4) or count == 0


cdef inline int64_t node_bytes(node_t* n) noexcept nogil:
    return rl_granted(n) + rl_granted(n.lp)


cdef quick_t* ql_new() noexcept nogil:
    cdef quick_t* q = <quick_t*>calloc(1, sizeof(quick_t))
    if q != NULL:
        q.bytes = rl_granted(q)
    return q


cdef node_t* add_node(quick_t* q, node_t* prev, node_t* next, byte* lp) noexcept nogil:
    """A node between two neighbours, around this block. NULL: no memory."""
    cdef node_t* n = <node_t*>malloc(sizeof(node_t))
    if n == NULL or lp == NULL:
        free(n)
        return NULL
    n.lp = lp
    n.count = lp_count(lp)
    n.prev = prev
    n.next = next
    if prev != NULL:
        prev.next = n
    else:
        q.head = n
    if next != NULL:
        next.prev = n
    else:
        q.tail = n
    q.count += n.count
    q.nodes += 1
    q.bytes += node_bytes(n)
    return n


cdef void drop_node(quick_t* q, node_t* n) noexcept nogil:
    if n.prev != NULL:
        n.prev.next = n.next
    else:
        q.head = n.next
    if n.next != NULL:
        n.next.prev = n.prev
    else:
        q.tail = n.prev
    q.nodes -= 1
    q.count -= n.count
    q.bytes -= node_bytes(n)
    free(n.lp)
    free(n)


cdef quick_t* ql_from(byte* lp) noexcept nogil:
    cdef quick_t* q = ql_new()
    if q != NULL and add_node(q, NULL, NULL, lp) == NULL:
        free(q)
        return NULL
    return q


cdef bint ql_append_block(quick_t* q, byte* lp) noexcept nogil:
    return add_node(q, q.tail, NULL, lp) != NULL


cdef byte* ql_only_block(quick_t* q) noexcept nogil:
    cdef byte* lp = q.head.lp
    free(q.head)
    free(q)
    return lp


cdef void ql_free(quick_t* q) noexcept nogil:
    cdef node_t* n = q.head
    cdef node_t* next
    while n != NULL:
        next = n.next
        free(n.lp)
        free(n)
        n = next
    free(q)


cdef quick_t* ql_copy(quick_t* q) noexcept nogil:
    cdef quick_t* made = ql_new()
    cdef node_t* n = q.head
    cdef byte* lp
    while made != NULL and n != NULL:
        lp = lp_copy(n.lp)
        if add_node(made, made.tail, NULL, lp) == NULL:
            free(lp)
            ql_free(made)
            return NULL
        n = n.next
    return made


cdef bint put(quick_t* q, node_t* n, byte* at, const char* data, size_t size) noexcept nogil:
    """An element into a node, before `at`."""
    cdef int64_t before = rl_granted(n.lp)
    if lp_insert(&n.lp, at, data, size) == NULL:
        return False
    n.count += 1
    q.count += 1
    q.bytes += <int64_t>rl_granted(n.lp) - before
    return True


cdef bint alone(quick_t* q, node_t* prev, node_t* next, const char* data, size_t size) noexcept nogil:
    """An element into a new node between two."""
    cdef byte* lp = lp_new(size + 10)
    if lp == NULL or lp_append(&lp, data, size) == NULL or add_node(q, prev, next, lp) == NULL:
        free(lp)
        return False
    return True


cdef bint ql_push(quick_t* q, bint left, const char* data, size_t size, int fill) noexcept nogil:
    cdef node_t* n = q.head if left else q.tail
    if n != NULL and lp_fits(n.lp, n.count, size, fill):
        return put(q, n, lp_first(n.lp) if left else lp_end(n.lp), data, size)
    return alone(q, NULL if left else n, n if left else NULL, data, size)


cdef spot_t ql_end(quick_t* q, bint left) noexcept nogil:
    cdef spot_t s
    s.node = q.head if left else q.tail
    s.at = NULL
    if s.node != NULL:
        s.at = lp_first(s.node.lp) if left else lp_prev(lp_end(s.node.lp))
    return s


cdef spot_t ql_seek(quick_t* q, int64_t index) noexcept nogil:
    cdef spot_t s
    cdef node_t* n
    s.node = NULL
    s.at = NULL
    if index < 0:
        index += q.count
    if index < 0 or index >= q.count:
        return s
    if index <= q.count // 2:
        n = q.head
        while index >= n.count:
            index -= n.count
            n = n.next
    else:
        index = q.count - index - 1              # from the end
        n = q.tail
        while index >= n.count:
            index -= n.count
            n = n.prev
        index = n.count - index - 1
    s.node = n
    s.at = lp_seek(n.lp, index)
    return s


cdef void ql_step(spot_t* s, bint forward) noexcept nogil:
    if forward:
        s.at = lp_next(s.at)
        if s.at[0] == END:
            s.node = s.node.next
            s.at = lp_first(s.node.lp) if s.node != NULL else NULL
    elif s.at == lp_first(s.node.lp):
        s.node = s.node.prev
        s.at = lp_prev(lp_end(s.node.lp)) if s.node != NULL else NULL
    else:
        s.at = lp_prev(s.at)


cdef bint split(quick_t* q, node_t* n, byte* at) noexcept nogil:
    """Moves what stands from `at` on (neither end of the node) to a new node behind it."""
    cdef byte* tail = lp_copy(n.lp)
    cdef byte* p = lp_first(n.lp)
    cdef int64_t head = 0, before
    if tail == NULL:
        return False
    while p != at:
        p = lp_next(p)
        head += 1
    lp_remove(&tail, lp_first(tail), head)
    if add_node(q, n, n.next, tail) == NULL:
        free(tail)
        return False
    before = rl_granted(n.lp)
    q.count -= n.count - head
    lp_remove(&n.lp, at, n.count - head)
    n.count = head
    q.bytes += <int64_t>rl_granted(n.lp) - before
    return True


cdef bint ql_insert(quick_t* q, spot_t s, bint after, const char* data, size_t size, int fill) noexcept nogil:
    cdef node_t* n = s.node
    cdef byte* at = lp_next(s.at) if after else s.at
    if lp_fits(n.lp, n.count, size, fill):
        return put(q, n, at, data, size)
    if at == lp_first(n.lp):
        if n.prev != NULL and lp_fits(n.prev.lp, n.prev.count, size, fill):
            return put(q, n.prev, lp_end(n.prev.lp), data, size)
        return alone(q, n.prev, n, data, size)
    if at[0] == END:
        if n.next != NULL and lp_fits(n.next.lp, n.next.count, size, fill):
            return put(q, n.next, lp_first(n.next.lp), data, size)
        return alone(q, n, n.next, data, size)
    if not split(q, n, at):
        return False
    if lp_fits(n.lp, n.count, size, fill):
        return put(q, n, lp_end(n.lp), data, size)
    return alone(q, n, n.next, data, size)


cdef bint ql_replace(quick_t* q, spot_t s, const char* data, size_t size, int fill) noexcept nogil:
    cdef node_t* n = s.node
    cdef int64_t before
    cdef byte* after
    if n.count > 1 and not lp_fits(n.lp, n.count - 1, size, fill):
        after = lp_next(s.at)
        if after[0] != END and not split(q, n, after):
            return False
        if n.count > 1:            # the element is the last of its node now
            if not alone(q, n, n.next, data, size):
                return False
            s.at = lp_prev(lp_end(n.lp))
            ql_remove(q, s)
            return True
        s.at = lp_first(n.lp)
    before = rl_granted(n.lp)
    if lp_replace(&n.lp, s.at, data, size) == NULL:
        return False
    q.bytes += <int64_t>rl_granted(n.lp) - before
    return True


cdef spot_t ql_remove(quick_t* q, spot_t s) noexcept nogil:
    cdef node_t* n = s.node
    cdef node_t* next = n.next
    cdef int64_t before
    if n.count == 1:
        drop_node(q, n)
        s.node = next
        s.at = lp_first(next.lp) if next != NULL else NULL
        return s
    before = rl_granted(n.lp)
    s.at = lp_remove(&n.lp, s.at, 1)
    n.count -= 1
    q.count -= 1
    q.bytes += <int64_t>rl_granted(n.lp) - before
    if s.at[0] == END:
        s.node = next
        s.at = lp_first(next.lp) if next != NULL else NULL
    return s


cdef void ql_remove_range(quick_t* q, int64_t start, int64_t n) noexcept nogil:
    cdef spot_t s = ql_seek(q, start)
    cdef node_t* next
    cdef int64_t part, before, offset
    cdef byte* p
    while n > 0 and s.node != NULL:
        next = s.node.next
        offset = 0
        p = lp_first(s.node.lp)
        while p != s.at:
            p = lp_next(p)
            offset += 1
        part = min(n, s.node.count - offset)
        if part == s.node.count:
            drop_node(q, s.node)
        else:
            before = rl_granted(s.node.lp)
            lp_remove(&s.node.lp, s.at, part)
            s.node.count -= part
            q.count -= part
            q.bytes += <int64_t>rl_granted(s.node.lp) - before
        n -= part
        s.node = next
        s.at = lp_first(next.lp) if next != NULL else NULL
