/* A router between two TUN devices, which delays, drops and paces packets as a scenario's [network] asks (R18).
 *
 * A packet that is read is stamped, waits for the link (`rate`, drop-tail), is lost or not, and is written to the other
 * device after delay and jitter. Loss and jitter are drawn for each packet in its order, from one generator for each
 * direction: the seed and the packets' order decide which are lost, never their size. Packets of one flow keep their
 * order. Invariant: memory is bounded, and every packet that was read is counted once. Compiled by
 * `rtbench.machine.inner_loop`, called by `rtbench.processes._router`, whose structures match these. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 1536, SLOTS = 65536, FLOWS = 65536, BATCH = 32, STEP_NS = 5000, STEPS = 4000, SLACK_NS = 100000 };
enum { COMMAND = 1, BROKEN = 2 };

struct direction {                   /* what is asked, then what was counted */
    int64_t delay_ns, jitter_ns, queue_ns;
    double loss, ns_per_byte;        /* ns_per_byte 0: no limit */
    uint64_t random;
    int64_t packets, bytes;          /* read */
    int64_t forwarded, forwarded_bytes, lost, queue_full, no_room, other, refused;
    int64_t queued_max_ns;           /* the longest wait for the link */
};

struct router {
    int32_t fds[2];                  /* the devices: of the server, of the load */
    int32_t command, unused;         /* what makes it return */
    struct direction of[2];          /* by the device that a packet comes from: down, up */
    int64_t late_max_ns, late_sum_ns;
    int64_t late[STEPS];             /* packets by how much later than planned they were written; the last: more */
};

struct due { int64_t at_ns; uint64_t order; int32_t slot, to; };

static struct due *heap;             /* a binary heap, the earliest first */
static int64_t held;
static uint64_t turn;
static unsigned char *room;          /* SLOTS packets of ROOM bytes; the kernel gives pages as they are touched */
static uint16_t length[SLOTS];
static int32_t unused_slots[SLOTS], left;
static int64_t free_ns[2], last_ns[2][FLOWS], slack;

static int64_t now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static double draw(uint64_t *state) { /* splitmix64: [0, 1) */
    uint64_t z = (*state += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}

static int earlier(const struct due *a, const struct due *b) {
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void push(struct due one) {
    int64_t at = held++;
    while (at && earlier(&one, &heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = one;
}

static struct due pop(void) {
    struct due first = heap[0], last = heap[--held];
    int64_t at = 0, child;
    while ((child = 2 * at + 1) < held) {
        if (child + 1 < held && earlier(&heap[child + 1], &heap[child])) child++;
        if (!earlier(&heap[child], &last)) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return first;
}

/* The flow of a packet; -1: not unicast (neighbour discovery, multicast), which is not forwarded. Both addresses and one
 * port are always the same, so that the ports alone name the connection. */
static int32_t flow(const unsigned char *packet, int64_t bytes) {
    int version = bytes > 0 ? packet[0] >> 4 : 0;
    int64_t ports;
    if (version == 4 && bytes >= 20) {
        if (packet[16] >= 224) return -1;
        if (packet[9] != 6 && packet[9] != 17) return 0;
        ports = 4 * (packet[0] & 15);
    } else if (version == 6 && bytes >= 40) {
        if (packet[24] == 0xff || (packet[24] == 0xfe && (packet[25] & 0xc0) == 0x80)) return -1;
        if (packet[6] != 6 && packet[6] != 17) return 0;
        ports = 40;
    } else {
        return -1;
    }
    if (ports + 4 > bytes) return 0;
    return (packet[ports] ^ packet[ports + 2]) << 8 | (packet[ports + 1] ^ packet[ports + 3]);
}

static void take(struct router *it, int from, int32_t slot, int64_t bytes) {
    struct direction *d = &it->of[from];
    int32_t of = flow(room + (int64_t)slot * ROOM, bytes);
    int64_t at = now_ns(), start, due;
    if (of < 0) {
        d->other++;
        unused_slots[left++] = slot;
        return;
    }
    d->packets++;
    d->bytes += bytes;
    double lose = draw(&d->random), shift = 2 * draw(&d->random) - 1;
    start = free_ns[from] > at ? free_ns[from] : at;
    if (start - at > d->queue_ns && d->ns_per_byte > 0) {
        d->queue_full++;
        unused_slots[left++] = slot;
        return;
    }
    if (start - at > d->queued_max_ns) d->queued_max_ns = start - at;
    due = start;
    if (d->ns_per_byte > 0) due = free_ns[from] = start + (int64_t)(bytes * d->ns_per_byte);
    if (lose < d->loss) { /* lost on its way: it used the link */
        d->lost++;
        unused_slots[left++] = slot;
        return;
    }
    due += d->delay_ns + (int64_t)(d->jitter_ns * shift);
    if (due < last_ns[from][of]) due = last_ns[from][of];
    last_ns[from][of] = due;
    length[slot] = (uint16_t)bytes;
    push((struct due){due, turn++, slot, !from});
}

/* Read up to BATCH packets of a device. Returns how many, or -1 when it is gone. */
static int receive(struct router *it, int from) {
    int count = 0;
    while (count < BATCH) {
        unsigned char spare[ROOM];
        int32_t slot = left ? unused_slots[--left] : -1;
        unsigned char *into = slot < 0 ? spare : room + (int64_t)slot * ROOM;
        ssize_t bytes = read(it->fds[from], into, ROOM);
        if (bytes <= 0) {
            if (slot >= 0) unused_slots[left++] = slot;
            if (bytes < 0 && errno == EINTR) continue;
            return bytes < 0 && errno == EAGAIN ? count : -1;
        }
        count++;
        if (slot >= 0) {
            take(it, from, slot, bytes);
        } else {
            it->of[from].packets++;
            it->of[from].bytes += bytes;
            it->of[from].no_room++;
        }
    }
    return count;
}

static void release(struct router *it, struct due one) {
    struct direction *d = &it->of[!one.to];
    int64_t late = now_ns() - one.at_ns, step = late / STEP_NS;
    it->late[step < 0 ? 0 : step < STEPS ? step : STEPS - 1]++;
    if (late > it->late_max_ns) it->late_max_ns = late;
    it->late_sum_ns += late;
    if (write(it->fds[one.to], room + (int64_t)one.slot * ROOM, length[one.slot]) == length[one.slot]) {
        d->forwarded++;
        d->forwarded_bytes += length[one.slot];
    } else {
        d->refused++;
    }
    unused_slots[left++] = one.slot;
}

/* Get the memory. Returns 0, or -1 where there is none. */
int router_open(void) {
    heap = malloc(SLOTS * sizeof *heap);
    room = mmap(NULL, (size_t)SLOTS * ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    for (left = 0; left < SLOTS; left++) unused_slots[left] = SLOTS - 1 - left;
    return heap && room != MAP_FAILED ? 0 : -1;
}

int64_t router_held(void) { return held; }

/* Forward until `command` can be read (COMMAND) or a device is gone (BROKEN). */
int router_run(struct router *it) {
    struct pollfd watched[3] = {{it->fds[0], POLLIN, 0}, {it->fds[1], POLLIN, 0}, {it->command, POLLIN, 0}};
    for (;;) {
        int busy = 0, count;
        for (int from = 0; from < 2; from++) {
            if ((count = receive(it, from)) < 0) return BROKEN;
            busy |= count;
            for (int done = 0; done < BATCH && held && heap[0].at_ns <= now_ns(); done++) {
                release(it, pop());
                busy = 1;
            }
        }
        struct timespec pause = {0, 0};
        int64_t began = now_ns(), wait = held ? heap[0].at_ns - began - slack : 0;
        if (!busy && wait > 0) pause = (struct timespec){wait / 1000000000, wait % 1000000000};
        int ready = ppoll(watched, 3, busy || held ? &pause : NULL, NULL);
        if (ready < 0 && errno != EINTR) return BROKEN;
        if (!ready && !busy && wait > 0) { /* it overslept: by so much less it sleeps from now on, and polls the rest */
            slack += (now_ns() - began - wait - slack) / 16;
            if (slack > SLACK_NS) slack = SLACK_NS;
        }
        if (watched[2].revents) return COMMAND;
        if ((watched[0].revents | watched[1].revents) & (POLLERR | POLLNVAL)) return BROKEN;
    }
}
