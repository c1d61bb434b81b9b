# cython: cdivision=True
"""The longest common subsequence of two strings, by the textbook table. Without the GIL while the table is filled."""
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free


cdef void fill(const unsigned char* a, uint64_t m, const unsigned char* b, uint64_t n, uint32_t* table,
               bint two_rows) noexcept nogil:
    """table[i][j]: the length for the first i bytes of a and j of b; with `two_rows` only the last two are kept."""
    cdef uint64_t i, j, width = n + 1
    cdef uint32_t* row
    cdef uint32_t* above
    for i in range(1, m + 1):
        row = table + (i & 1 if two_rows else i) * width
        above = table + ((i - 1) & 1 if two_rows else i - 1) * width
        row[0] = 0
        for j in range(1, n + 1):
            if a[i - 1] == b[j - 1]:
                row[j] = above[j - 1] + 1
            else:
                row[j] = max(above[j], row[j - 1])


def length(bytes a, bytes b) -> int:
    """The length of the longest common subsequence. Memory: two rows of 4 bytes for each byte of b."""
    cdef uint32_t* table = <uint32_t*>calloc(2 * (len(b) + 1), sizeof(uint32_t))
    cdef const unsigned char* left = a
    cdef const unsigned char* right = b
    cdef uint64_t m = len(a), n = len(b)
    if table == NULL:
        raise MemoryError
    with nogil:
        fill(left, m, right, n, table, True)
    found = table[(m & 1) * (n + 1) + n]
    free(table)
    return found


def matches(bytes a, bytes b):
    """(the subsequence, its runs): a run is (first, last) in a and (first, last) in b, the last run first.

    Memory: 4 bytes for each pair of bytes. Raises MemoryError where there is not so much.
    """
    cdef uint64_t m = len(a), n = len(b), i = m, j = n, width = n + 1, at, end_a = 0, end_b = 0
    cdef const unsigned char* left = a
    cdef const unsigned char* right = b
    cdef uint32_t* table = <uint32_t*>calloc((m + 1) * width, sizeof(uint32_t))
    cdef bytearray text
    cdef list runs = []
    if table == NULL:
        raise MemoryError
    with nogil:
        fill(left, m, right, n, table, False)
    at = table[m * width + n]
    text = bytearray(at)
    start = None
    while i > 0 and j > 0:
        if left[i - 1] == right[j - 1]:
            at -= 1
            text[at] = left[i - 1]
            if start is None:
                end_a, end_b = i - 1, j - 1
            start = i - 1, j - 1
            i -= 1
            j -= 1
            continue
        if start is not None:
            runs.append(((start[0], end_a), (start[1], end_b)))
            start = None
        if table[(i - 1) * width + j] > table[i * width + j - 1]:
            i -= 1
        else:
            j -= 1
    if start is not None:
        runs.append(((start[0], end_a), (start[1], end_b)))
    free(table)
    return bytes(text), runs
