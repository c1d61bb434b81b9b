"""Which keys are used most, found from a sample of all uses: Space-Saving with forgetting, one list a thread.

Space-Saving (Metwally, Agrawal, El Abbadi 2005): a bounded list of keys; one that is not on it takes the place of the
least used, and inherits its count as its possible error. Forgetting is by forward decay (Cormode, Shkapenyuk, Srivastava,
Xu 2009): what is added weighs more the later it comes, so nothing that was added need be touched.
"""
from libc.stdint cimport int64_t, uint64_t

from rlite.engine.core.keyspace cimport Keyspace

cdef enum:
    TRACKED = 512              # keys of a list
    LONGEST = 128              # bytes of a key that are kept; longer ones are told apart by their hash

cdef struct use_t:             # one key on the list; the figures are weighed
    uint64_t hash
    int database
    int place                  # in the heap
    int klen                   # bytes kept
    bint cut                   # it has more
    double uses
    double error               # of `uses`, what another key may have left
    double writes
    double ns
    double bytes
    char key[LONGEST]

cdef struct hotlist_t:
    int lock                   # held for one use, or for a copy
    int left                   # uses until the next one that is looked at; touched by the owner alone
    int interval               # between those, on the average
    int looked                 # since the interval was chosen
    int64_t chosen_ns
    int64_t origin_ns          # of the weights
    int64_t since_ns           # when it began to watch
    uint64_t random
    int n
    use_t* uses
    int* heap                  # indexes of `uses`, the least used first
    int* slots                 # by hash: index + 1; 0: none

cdef class HotKeys:
    cdef hotlist_t* list
    cdef Keyspace keyspace     # whose hash tells keys apart

cdef void hot_note(hotlist_t* l, uint64_t hash, int database, const char* key, size_t klen, bint write, int64_t ns,
                   int64_t bytes, int64_t now_ns) noexcept nogil      # `left` has come to 0
