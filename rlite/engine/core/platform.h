/* What the core needs of the compiler and the system that Cython has no words for.
 *
 * Atomics, a clock, pages straight from the system, and one face over epoll and poll's wake-up pipe. Everything is
 * static inline and free of state, so each module that includes it gets its own copy at no cost.
 */
#ifndef RLITE_PLATFORM_H
#define RLITE_PLATFORM_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <malloc.h>
#include <sys/epoll.h>
#define RL_HAVE_EPOLL 1
#else
#define RL_HAVE_EPOLL 0
#endif

#if defined(__APPLE__)
#include <malloc/malloc.h>
#endif

/* --- atomics ------------------------------------------------------------------------------------------------- */

static inline int64_t rl_load(const int64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
static inline void rl_store(int64_t *p, int64_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
/* For a counter with one writer: other threads may read it at any time, and never see half of it. */
static inline void rl_bump(int64_t *p, int64_t by) { rl_store(p, rl_load(p) + by); }
static inline int64_t rl_add(int64_t *p, int64_t by) { return __atomic_add_fetch(p, by, __ATOMIC_RELAXED); }
/* The highest value since somebody took it: any thread raises it, one takes it. */
static inline void rl_raise(int64_t *p, int64_t v) {
    int64_t was = rl_load(p);
    while (v > was && !__atomic_compare_exchange_n(p, &was, v, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
}
static inline int64_t rl_take(int64_t *p) { return __atomic_exchange_n(p, 0, __ATOMIC_RELAXED); }
static inline void rl_add_int(int *p, int by) { __atomic_add_fetch(p, by, __ATOMIC_ACQ_REL); }
static inline int rl_load_int(const int *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
/* A block that is complete, for readers that come by its address. */
static inline void rl_publish(void **p, void *v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline void *rl_published(void *const *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void rl_store_int(int *p, int v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }

/* --- the processor ------------------------------------------------------------------------------------------- */

static inline void rl_prefetch(const void *p) { __builtin_prefetch(p, 0, 3); }
static inline int rl_ctz64(uint64_t v) { return __builtin_ctzll(v); }
static inline int rl_msb64(uint64_t v) { return 63 - __builtin_clzll(v); }
static inline int rl_popcount(unsigned v) { return __builtin_popcount(v); }
static inline uint64_t rl_read64(const void *p) { uint64_t v; memcpy(&v, p, 8); return v; }
/* Little-endian numbers, as files hold them; one move each where the processor is little-endian too. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
static inline uint32_t rl_le32(const void *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline uint64_t rl_le64(const void *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline void rl_put_le32(void *p, uint32_t v) { memcpy(p, &v, 4); }
static inline void rl_put_le64(void *p, uint64_t v) { memcpy(p, &v, 8); }
#else
static inline uint32_t rl_le32(const void *p) {
    const unsigned char *b = p;
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}
static inline uint64_t rl_le64(const void *p) {
    return rl_le32(p) | (uint64_t)rl_le32((const unsigned char *)p + 4) << 32;
}
static inline void rl_put_le32(void *p, uint32_t v) {
    unsigned char *b = p;
    for (int i = 0; i < 4; i++) b[i] = (unsigned char)(v >> (8 * i));
}
static inline void rl_put_le64(void *p, uint64_t v) {
    rl_put_le32(p, (uint32_t)v);
    rl_put_le32((unsigned char *)p + 4, (uint32_t)(v >> 32));
}
#endif
static inline void rl_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}
/* A lock for what takes some tens of nanoseconds: cheaper to take than a mutex, which letting go of is an atomic exchange
 * too. Who meets it taken looks again and again, and lets others run now and then, should its holder not be running. */
static inline void rl_spin_lock(int *p) {
    while (__atomic_exchange_n(p, 1, __ATOMIC_ACQUIRE)) {
        int turns = 0;
        while (__atomic_load_n(p, __ATOMIC_RELAXED)) {
            if (++turns % 64 == 0) sched_yield();
            rl_pause();
        }
    }
}
static inline void rl_spin_unlock(int *p) { __atomic_store_n(p, 0, __ATOMIC_RELEASE); }
/* Waits a while (20 ms) for a mutex. 0: it is held now. */
static inline int rl_lock_a_while(pthread_mutex_t *m) {
#if defined(__APPLE__)
    struct timespec nap = {0, 100000};
    int i;
    for (i = 0; i < 200; i++) {
        if (pthread_mutex_trylock(m) == 0) return 0;
        nanosleep(&nap, NULL);
    }
    return 1;
#else
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 20000000;
    if (until.tv_nsec >= 1000000000) { until.tv_nsec -= 1000000000; until.tv_sec++; }
    return pthread_mutex_timedlock(m, &until);
#endif
}
static inline void rl_wait_ms(void *cond, void *mutex, int ms) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(cond, mutex, &until);
}
static inline void rl_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline int rl_unlikely(int v) { return __builtin_expect(v, 0); }

static inline uint64_t rl_bitreverse64(uint64_t v) {
    v = ((v >> 1) & 0x5555555555555555ULL) | ((v & 0x5555555555555555ULL) << 1);
    v = ((v >> 2) & 0x3333333333333333ULL) | ((v & 0x3333333333333333ULL) << 2);
    v = ((v >> 4) & 0x0f0f0f0f0f0f0f0fULL) | ((v & 0x0f0f0f0f0f0f0f0fULL) << 4);
    return __builtin_bswap64(v);
}

/* --- time ---------------------------------------------------------------------------------------------------- */

static inline int64_t rl_clock_ns(clockid_t which) {
    struct timespec t;
    clock_gettime(which, &t);
    return (int64_t)t.tv_sec * 1000000000LL + t.tv_nsec;
}
static inline int64_t rl_monotonic_ns(void) { return rl_clock_ns(CLOCK_MONOTONIC); }
static inline int64_t rl_wall_ms(void) { return rl_clock_ns(CLOCK_REALTIME) / 1000000; }

/* The processor's own counter, for the time of single commands: reading it does not wait for loads under way, as
 * clock_gettime does. Only where the kernel trusts it as its clock (see Loop). */
#if defined(__x86_64__)
#define RL_HAVE_TICKS 1
static inline uint64_t rl_ticks(void) { return __builtin_ia32_rdtsc(); }
#else
#define RL_HAVE_TICKS 0
static inline uint64_t rl_ticks(void) { return 0; }
#endif

/* --- memory -------------------------------------------------------------------------------------------------- */

/* What the allocator took for this block: glibc's usable size leaves out the word before the block. */
static inline size_t rl_granted(void *p) {
#if defined(__linux__)
    return malloc_usable_size(p) + sizeof(size_t);
#elif defined(__APPLE__)
    return malloc_size(p);
#else
    (void)p;
    return 0;
#endif
}
static inline size_t rl_usable(void *p) {
#if defined(__linux__)
    return malloc_usable_size(p);
#elif defined(__APPLE__)
    return malloc_size(p);
#else
    (void)p;
    return 0;
#endif
}

/* Zeroed pages, touched by nobody yet. Large arrays come from here: calloc would clear them at once (a pause that
 * grows with the table) when it happens to reuse memory, the system clears each page at its first use. */
#define RL_PAGES_FROM 65536
static inline void *rl_zeroed(size_t size) {
    if (size < RL_PAGES_FROM) return calloc(1, size);
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}
static inline void rl_zeroed_free(void *p, size_t size) {
    if (p == NULL) return;
    if (size < RL_PAGES_FROM) free(p);
    else munmap(p, size);
}
/* Grows an array from rl_zeroed; on Linux by moving page tables instead of bytes. */
static inline void *rl_zeroed_grow(void *p, size_t size, size_t wanted) {
#ifdef __linux__
    if (p != NULL && size >= RL_PAGES_FROM && wanted >= RL_PAGES_FROM) {
        void *q = mremap(p, size, wanted, MREMAP_MAYMOVE);
        return q == MAP_FAILED ? NULL : q;
    }
#endif
    void *q = rl_zeroed(wanted);
    if (q != NULL && p != NULL) {
        memcpy(q, p, size < wanted ? size : wanted);
        rl_zeroed_free(p, size);
    }
    return q;
}

#endif
