"""The words of platform.h, for cimport. Reads as its table of contents."""
from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from "platform.h" nogil:
    int RL_HAVE_EPOLL

    # atomics: relaxed, for counters and published figures; _int: acquire/release, for gates
    int64_t rl_load(const int64_t* p) noexcept
    void rl_store(int64_t* p, int64_t v) noexcept
    void rl_bump(int64_t* p, int64_t by) noexcept      # one writer
    int64_t rl_add(int64_t* p, int64_t by) noexcept    # many writers
    void rl_raise(int64_t* p, int64_t v) noexcept      # many writers: the highest since somebody took it
    int64_t rl_take(int64_t* p) noexcept               # … and sets it to 0
    void rl_add_int(int* p, int by) noexcept
    int rl_load_int(const int* p) noexcept
    void rl_store_int(int* p, int v) noexcept

    void rl_publish(void** p, void* v) noexcept         # a block that is complete …
    void* rl_published(void** p) noexcept               # … as another thread finds it

    void rl_prefetch(const void* p) noexcept
    int rl_ctz64(uint64_t v) noexcept
    int rl_msb64(uint64_t v) noexcept                   # of what is not 0
    int rl_popcount(unsigned v) noexcept
    uint64_t rl_read64(const void* p) noexcept
    uint32_t rl_le32(const void* p) noexcept
    uint64_t rl_le64(const void* p) noexcept
    void rl_put_le32(void* p, uint32_t v) noexcept
    void rl_put_le64(void* p, uint64_t v) noexcept
    void rl_spin_lock(int* p) noexcept
    void rl_spin_unlock(int* p) noexcept
    int rl_lock_a_while(void* mutex) noexcept           # a pthread mutex; 0: held
    void rl_wait_ms(void* cond, void* mutex, int ms) noexcept   # pthread_cond_timedwait, from now on
    void rl_fence() noexcept                            # nothing passes it, in either direction
    void rl_pause() noexcept                            # in a loop that waits for another thread
    int rl_unlikely(int v) noexcept
    uint64_t rl_bitreverse64(uint64_t v) noexcept

    int64_t rl_monotonic_ns() noexcept
    int64_t rl_wall_ms() noexcept
    int RL_HAVE_TICKS
    uint64_t rl_ticks() noexcept                        # the processor's counter; only where RL_HAVE_TICKS

    size_t rl_granted(void* p) noexcept                 # bytes the allocator took for a malloc'ed block
    size_t rl_usable(void* p) noexcept                  # bytes of it that may be used
    void* rl_zeroed(size_t size) noexcept               # NULL when there is no memory
    void rl_zeroed_free(void* p, size_t size) noexcept
    void* rl_zeroed_grow(void* p, size_t size, size_t wanted) noexcept

cdef extern from "pthread.h" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_init(pthread_mutex_t*, void*) noexcept
    int pthread_mutex_lock(pthread_mutex_t*) noexcept
    int pthread_mutex_trylock(pthread_mutex_t*) noexcept
    int pthread_mutex_unlock(pthread_mutex_t*) noexcept
    int pthread_mutex_destroy(pthread_mutex_t*) noexcept
    ctypedef struct pthread_cond_t:
        pass
    int pthread_cond_init(pthread_cond_t*, void*) noexcept
    int pthread_cond_broadcast(pthread_cond_t*) noexcept
    int pthread_cond_wait(pthread_cond_t*, pthread_mutex_t*) noexcept
    int pthread_cond_destroy(pthread_cond_t*) noexcept
