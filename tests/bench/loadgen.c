/* A closed-loop load generator that keeps every latency: `loadgen PORT CLIENTS REQUESTS GETS KEYS SIZE`.
 *
 * redis-benchmark can neither mix reads with writes on one connection nor visit each key once, and its histogram
 * rounds; here GETS of 100 requests are GETs, KEYS is the number of random keys (0: a new key each time, in order),
 * SIZE the bytes of a value. One thread, one request in flight a client. Each latency is kept (4 bytes, units of
 * 10 ns) and sorted at the end, so percentiles and the worst are exact. Prints one JSON object, times in µs.
 * As with every closed loop, requests that were not sent while the server stood still are not counted as late.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 1 << 16 };

typedef struct {
    int fd;
    size_t have; /* bytes of the reply so far */
    uint64_t sent;
    char reply[BUFFER];
} client;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void) { /* xorshift64: the same sequence for each server */
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static long gets, keys, size, started;
static char value[BUFFER / 2];

static void send_next(client *c) {
    char request[BUFFER];
    long key = keys ? (long)(next_random() % (uint64_t)keys) : started;
    int length;
    if ((long)(next_random() % 100) < gets)
        length = snprintf(request, sizeof request, "*2\r\n$3\r\nGET\r\n$16\r\nkey:%012ld\r\n", key);
    else
        length = snprintf(request, sizeof request, "*3\r\n$3\r\nSET\r\n$16\r\nkey:%012ld\r\n$%ld\r\n%.*s\r\n", key,
                          size, (int)size, value);
    started++;
    c->have = 0;
    c->sent = now_ns();
    if (write(c->fd, request, (size_t)length) != length) die("write");
}

/* Whether the reply is whole: a status line, a null, or a bulk string. */
static int whole(client *c) {
    char *end = memchr(c->reply, '\n', c->have);
    if (!end) return 0;
    if (c->reply[0] == '+') return 1;
    if (c->reply[0] != '$') {
        fprintf(stderr, "the server answered %.*s\n", (int)c->have, c->reply);
        exit(1);
    }
    long bytes = strtol(c->reply + 1, NULL, 10);
    return bytes < 0 || c->have >= (size_t)(end - c->reply) + 1 + (size_t)bytes + 2;
}

static int ascending(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "usage: loadgen PORT CLIENTS REQUESTS GETS KEYS SIZE\n");
        return 2;
    }
    int port = atoi(argv[1]), clients = atoi(argv[2]);
    long requests = atol(argv[3]), done = 0;
    gets = atol(argv[4]);
    keys = atol(argv[5]);
    size = atol(argv[6]);
    if (clients < 1 || requests < clients || size < 1 || size > (long)sizeof value) return 2;
    memset(value, 'x', sizeof value);

    uint32_t *latency = calloc((size_t)requests, sizeof *latency);
    client *all = calloc((size_t)clients, sizeof *all);
    int poller = epoll_create1(0);
    if (!latency || !all || poller < 0) die("set up");
    memset(latency, 1, (size_t)requests * sizeof *latency); /* no page fault while measuring */
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < clients; i++) {
        int one = 1;
        all[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(all[i].fd, (struct sockaddr *)&address, sizeof address) < 0) die("connect");
        setsockopt(all[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, all[i].fd, &event) < 0) die("epoll_ctl");
    }

    uint64_t begin = now_ns();
    for (int i = 0; i < clients; i++) send_next(&all[i]);
    while (done < requests) {
        struct epoll_event ready[256];
        int count = epoll_wait(poller, ready, 256, 30000);
        if (count <= 0) die("30 s without an answer");
        for (int i = 0; i < count; i++) {
            client *c = ready[i].data.ptr;
            ssize_t got = read(c->fd, c->reply + c->have, sizeof c->reply - c->have);
            if (got <= 0) die("closed by the server");
            c->have += (size_t)got;
            if (!whole(c)) continue;
            uint64_t units = (now_ns() - c->sent) / 10;
            latency[done++] = units > UINT32_MAX ? UINT32_MAX : (uint32_t)units;
            if (started < requests) send_next(c);
        }
    }
    double seconds = (double)(now_ns() - begin) / 1e9;

    qsort(latency, (size_t)requests, sizeof *latency, ascending);
    static const double points[] = {50, 90, 99, 99.9, 99.99, 99.999};
    printf("{\"requests\": %ld, \"seconds\": %.3f, \"per_second\": %.0f", requests, seconds, (double)requests / seconds);
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        long rank = (long)((double)requests * points[i] / 100.0);
        printf(", \"p%g\": %.2f", points[i], latency[rank < requests ? rank : requests - 1] / 100.0);
    }
    printf(", \"worst\": %.2f}\n", latency[requests - 1] / 100.0);
    return 0;
}
