"""Calls of the core's commands: look-up by name, keys to hashes, shared argument reading, and the table itself."""
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

from rlite.engine.core.errors cimport E_INVALID_EXPIRE, E_MUST_BE_POSITIVE, E_NOT_AN_INTEGER, E_WRONG_ARITY
from rlite.engine.core.keyspace cimport hash_key, keyspace_t, stripe_index
from rlite.engine.core.log cimport log_append, log_lose, log_t
from rlite.engine.core.resp cimport arg_t, out_bulk, out_error, out_t, parse_int, well_framed


cdef bint fold_name(const char* p, size_t size, uint64_t* word) noexcept nogil:
    """Lower case, in three words. Folding sets bit 5 of every byte, so `@` and the like fold onto others: what is
    found is a name only letters could have made, for names hold nothing but letters."""
    cdef size_t i
    cdef unsigned char* to = <unsigned char*>word
    if size > MAX_NAME:
        return False
    word[0] = word[1] = word[2] = 0
    for i in range(size):
        if not (c'a' <= (<unsigned char>p[i] | 0x20) <= c'z'):
            return False
        to[i] = <unsigned char>p[i] | 0x20
    return True


cdef inline uint64_t spread(const uint64_t* word) noexcept nogil:
    cdef uint64_t h = word[0] ^ (word[1] * <uint64_t>0x9E3779B97F4A7C15) ^ (word[2] * <uint64_t>0xC2B2AE3D27D4EB4F)
    h *= <uint64_t>0xFF51AFD7ED558CCD
    return h ^ (h >> 32)


cdef command_t* find_command(const commands_t* t, const uint64_t* word) noexcept nogil:
    cdef int i = <int>(spread(word) & <uint64_t>t.mask)
    while t.slots[i].word[0]:
        if t.slots[i].word[0] == word[0] and t.slots[i].word[1] == word[1] and t.slots[i].word[2] == word[2]:
            return &t.slots[i]
        i = (i + 1) & t.mask
    return NULL


cdef command_t* find_core(const commands_t* t, const arg_t* name, int argc) noexcept nogil:
    """The command that so many arguments begin with, where the core runs it with as many."""
    cdef uint64_t word[3]
    cdef command_t* cmd
    if not fold_name(name.data, name.size, word):
        return NULL
    cmd = find_command(t, word)
    if cmd == NULL or cmd.run == NULL or (argc != cmd.arity if cmd.arity >= 0 else argc < -cmd.arity):
        return NULL
    return cmd


cdef int hash_keys(keyspace_t* ks, const command_t* cmd, int argc, const arg_t* argv, uint64_t* hashes,
                   uint64_t* mask) noexcept nogil:
    """Hashes each key of a command; returns how many, and in `mask` the locks they need."""
    cdef int i, n = 0
    cdef int last = cmd.last_key if cmd.last_key >= 0 else argc + cmd.last_key
    mask[0] = 0
    if cmd.first_key == 0:
        return 0
    i = cmd.first_key
    while i <= last and i < argc:
        hashes[n] = hash_key(ks, argv[i].data, argv[i].size)
        mask[0] |= <uint64_t>1 << stripe_index(ks, hashes[n])
        n += 1
        i += cmd.key_step
    return n


cdef void event(call_t* c, int key, const char* name, char kind) noexcept nogil:
    cdef event_t* grown
    if c.events == NULL:
        return
    if c.event_count == c.event_cap:
        grown = <event_t*>realloc(c.events, 2 * c.event_cap * sizeof(event_t))
        if grown == NULL:              # the event is lost; the command is not
            return
        c.events = grown
        c.event_cap *= 2
    c.events[c.event_count].name = name
    c.events[c.event_count].key = key
    c.events[c.event_count].kind = kind
    c.event_count += 1


cdef void log_change(call_t* c, const char* raw, size_t size) noexcept nogil:
    """Logs what a command has done, under its locks. raw: the request as it came; NULL: it is put together from its
    arguments."""
    cdef log_t* l = c.ks.log
    cdef int64_t ms = c.now_ns // 1000000 + c.ks.wall_offset_ms
    cdef int i
    cdef out_t* o
    if not c.effect.size and raw != NULL and well_framed(raw, c.argv, c.argc):
        log_append(l, c.database, ms, raw, size)
        return
    if not c.effect.size:
        o = effect(c, c.argc)
        for i in range(c.argc):
            out_bulk(o, c.argv[i].data, c.argv[i].size)
    if c.effect.failed:
        log_lose(l)
    else:
        log_append(l, c.database, ms, c.effect.data, c.effect.size)


cdef void call_error(call_t* c, int which) noexcept nogil:
    c.error = which
    if which == E_INVALID_EXPIRE or which == E_WRONG_ARITY:
        out_error(c.out, which, c.name, c.name_size)
    else:
        out_error(c.out, which, NULL, 0)


cdef bint is_word(const arg_t* a, const char* word) noexcept nogil:
    cdef size_t i
    for i in range(a.size):
        if word[i] == 0 or (<unsigned char>a.data[i] | 0x20) != <unsigned char>word[i]:
            return False
    return word[a.size] == 0


cdef bint int_arg(call_t* c, int i, int64_t* v) noexcept nogil:
    if parse_int(c.argv[i].data, c.argv[i].size, v):
        return True
    call_error(c, E_NOT_AN_INTEGER)
    return False


cdef bint count_arg(call_t* c, int i, int64_t* v) noexcept nogil:
    if parse_int(c.argv[i].data, c.argv[i].size, v) and v[0] >= 0:
        return True
    call_error(c, E_MUST_BE_POSITIVE)
    return False


cdef class CoreCommand:
    def __repr__(self):
        return f"<core command {self.name}>"


cdef object enlist(dict commands, str name, command_fn run):
    cdef CoreCommand command = CoreCommand.__new__(CoreCommand)
    command.name = name
    command.run = run
    commands[name] = command


cdef class CommandTable:
    def __cinit__(self):
        self.table.mask = 1023
        self.table.slots = <command_t*>calloc(self.table.mask + 1, sizeof(command_t))
        if self.table.slots == NULL:
            raise MemoryError
        self.names = []

    def __dealloc__(self):
        free(self.table.slots)

    cdef command_t* get(self, bytes name) noexcept:
        cdef uint64_t word[3]
        if not fold_name(name, len(name), word):
            return NULL
        return find_command(&self.table, word)

    def add_counted(self, str name) -> int:
        """A name that is counted but not looked up here (a subcommand). Returns its id."""
        self.names.append(name)
        return len(self.names) - 1

    def add(self, str name, int arity, int first_key, int last_key, int key_step, bint write, bint denyoom,
            CoreCommand core=None) -> int:
        """Declares a command. Returns its id. Raises ValueError for a name that cannot be one, or is there already."""
        cdef uint64_t word[3]
        cdef bytes folded = name.lower().encode()
        cdef int i
        if not fold_name(folded, len(folded), word):
            self.names.append(name.lower())      # names with other characters are found by Python alone
            return len(self.names) - 1
        if find_command(&self.table, word) != NULL:
            raise ValueError(f"command {name} is declared twice")
        if self.count * 2 > self.table.mask:
            raise ValueError("too many commands for the table")
        i = <int>(spread(word) & <uint64_t>self.table.mask)
        while self.table.slots[i].word[0]:
            i = (i + 1) & self.table.mask
        memcpy(self.table.slots[i].word, word, sizeof(word))
        self.table.slots[i].name_size = len(folded)
        self.table.slots[i].run = core.run if core is not None else NULL
        self.table.slots[i].id = len(self.names)
        self.table.slots[i].arity = arity
        self.table.slots[i].first_key = first_key
        self.table.slots[i].last_key = last_key
        self.table.slots[i].key_step = key_step
        self.table.slots[i].write = write
        self.table.slots[i].denyoom = denyoom
        self.count += 1
        self.names.append(name.lower())
        return self.table.slots[i].id
