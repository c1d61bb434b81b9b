"""A stream as Python handlers see it (see views.pxd)."""
from rlite.engine.core.keyspace cimport stripe_t
from rlite.engine.core.table cimport entry_t
from rlite.engine.core.views cimport View


cdef class StreamView(View):
    cdef int _open(self) except -1


cdef int give_groups(stripe_t* s, entry_t* e, object groups) except -1
