/* The reactor's inner loop in C: epoll_wait and recvmsg until a timer is due or a read needs Python.
 *
 * What it does for a read is what `Reactor._drain` does: bytes to the capture, the kernel's stamp (SO_TIMESTAMPNS) and
 * CLOCK_MONOTONIC beside them. Compiled by `rtbench.machine.inner_loop`; driven by `loadtests/reactor/compiled.py`, whose
 * structure this one must match. Invariant: nothing is allocated, and only sockets that `links` names are read.
 *
 * It waits without a timeout, for a timer in the epoll set that is armed once for many waits: a timeout of
 * milliseconds at each wait is the machine's next timer, and arming that costs a virtual machine some 1.5 us. */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>

enum { READ_BYTES = 65536, EVENTS = 512, SECOND = 1000000000, STAMPNS = 35, PLAIN_TEXT = 0x81, DEFLATED = 0x40 };
enum { TLS_DATA = 23, SHORT_RECORD = 64 };
enum { IDLE, DUE, FULL, LOOK, OVER, OTHER };      /* why it returns */
enum { NOBODY_LOOKS, ALWAYS, UNLESS_PLAIN_TEXT, UNLESS_BULK }; /* what `cares` says of a descriptor */

struct drain {
    int64_t at, limit;               /* the capture: where the next read goes, where it is full */
    int64_t made, most;              /* reads since the last call, and room for them */
    int64_t armed_ns;                /* what the timer is set to */
    int64_t descriptors;             /* how many `links` and `cares` know */
    int32_t epoll, timer;
    int32_t next, count;             /* events: the next of those that are left */
    int32_t descriptor, mask, error; /* OVER, OTHER: of which socket */
    char *capture;
    int64_t *reads;                  /* link, application stamp, bytes */
    char *stamps;                    /* 16 bytes a read; zeros: none */
    const int32_t *links;            /* by descriptor, maybe with a flag (SEALED); -1: not to be read here */
    const uint8_t *cares;
    struct epoll_event events[EVENTS];
};

const int64_t drain_events_at = offsetof(struct drain, events); /* Python compares it with its own */

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

/* Exactly one complete, unfragmented text frame of at most 64 KiB (`rtbench.transports.websocket.plain`). */
static int plain_text(const unsigned char *data, int64_t size) {
    if (size < 2 || (data[0] & ~DEFLATED) != PLAIN_TEXT) return 0;
    if (data[1] < 126) return size == data[1] + 2;
    return data[1] == 126 && size >= 130 && size == (data[2] << 8 | data[3]) + 4;
}

/* Whole TLS records that are all too long for a control frame alone (`loadtests/reactor/tls.py`). */
static int bulk(const unsigned char *data, int64_t size) {
    while (size >= 5) {
        int64_t record = 5 + (data[3] << 8 | data[4]);
        if (data[0] != TLS_DATA || record < SHORT_RECORD || record > size) return 0;
        data += record, size -= record;
    }
    return size == 0;
}

/* Read into the capture; the number of bytes, 0 at the end, -1 and errno as recvmsg(2). */
static int64_t take(struct drain *s, int descriptor) {
    _Alignas(struct cmsghdr) char control[64];
    char *stamp = s->stamps + 16 * s->made;
    struct iovec io = {s->capture + s->at, READ_BYTES};
    struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    int64_t size = recvmsg(descriptor, &message, 0);
    if (size <= 0) return size;
    int64_t *read = s->reads + 3 * s->made++;
    read[0] = s->links[descriptor], read[1] = now_ns(), read[2] = size;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == STAMPNS) memcpy(stamp, CMSG_DATA(header), 16);
    else memset(stamp, 0, 16);
    s->at += size;
    return size;
}

/* Once, before the first drain: the timer. The error number, 0: none. */
int drain_begin(struct drain *s) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    event.data.fd = s->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    return s->timer < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->timer, &event) ? errno : 0;
}

/* Until `until_ns` (IDLE when no socket had anything until then), or until Python has something to do. */
int drain(struct drain *s, int64_t until_ns) {
    int waited = 0, came = 0;
    int64_t now = now_ns();
    s->made = 0;
    for (;;) {
        while (s->next < s->count) {
            if (s->at > s->limit || s->made == s->most) return FULL;
            struct epoll_event *event = &s->events[s->next++];
            int descriptor = s->descriptor = event->data.fd;
            if (descriptor == s->timer) continue;
            came = 1;
            s->mask = event->events;
            if (event->events & EPOLLOUT || descriptor >= s->descriptors || s->links[descriptor] < 0) return OTHER;
            int64_t size = take(s, descriptor);
            if (size > 0) {
                int care = s->cares[descriptor];
                now = s->reads[3 * s->made - 2];
                if (care == ALWAYS) return LOOK;
                if (care == UNLESS_PLAIN_TEXT && !plain_text((unsigned char *)s->capture + s->at - size, size)) return LOOK;
                if (care == UNLESS_BULK && !bulk((unsigned char *)s->capture + s->at - size, size)) return LOOK;
                if (now >= until_ns) return DUE;
            } else if (size == 0 || (errno != EAGAIN && errno != EINTR)) {
                s->error = size ? errno : 0;
                return OVER;
            }
        }
        /* At least one look at the sockets: timers that are always late do not stop the reading. */
        if (waited && now >= until_ns) return came ? DUE : IDLE;
        if (s->armed_ns != until_ns) {
            struct itimerspec at = {.it_value = {until_ns / SECOND, until_ns % SECOND}};
            if (now < until_ns && timerfd_settime(s->timer, TFD_TIMER_ABSTIME, &at, NULL)) return DUE;
            s->armed_ns = until_ns;
        }
        s->next = 0;
        s->count = epoll_wait(s->epoll, s->events, EVENTS, now < until_ns ? -1 : 0);
        now = now_ns();
        waited = 1;
        if (s->count < 0) return DUE; /* a signal: Python has to see it */
    }
}
