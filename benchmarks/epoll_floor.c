/* What reading many SSE connections costs at least: one epoll loop in C, a kernel stamp with every read, every event
 * of every read found and its id parsed. The load generator is measured beside it (client_floor.py).
 *
 *   cc -O2 epoll_floor.c -o epoll_floor && ./epoll_floor CONNECTIONS PORT PATH WARM_SECONDS SECONDS
 *
 * Prints: messages, CPU nanoseconds, wall nanoseconds of the window. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SO_TIMESTAMPNS_ 35

static long long now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Whole events in the bytes of one read; the ids are summed so that nothing is optimised away. */
static long events(char *at, char *end, volatile long long *ids) {
    long found = 0;
    while ((at = memmem(at, end - at, "id: ", 4))) {
        char *line = memchr(at, '\n', end - at);
        char *stop = line ? memmem(line, end - line, "\n\n", 2) : NULL;
        if (!stop) break;
        *ids += atoll(at + 4);
        found++;
        at = stop;
    }
    return found;
}

int main(int argc, char **argv) {
    if (argc != 6) return fprintf(stderr, "usage: epoll_floor CONNECTIONS PORT PATH WARM_SECONDS SECONDS\n"), 2;
    int count = atoi(argv[1]), poll = epoll_create1(0), on = 1;
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    inet_pton(AF_INET, "127.0.0.1", &server.sin_addr);
    char request[512];
    int size = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nAccept: text/event-stream\r\n\r\n", argv[3], argv[2]);
    for (int i = 0; i < count; i++) {
        int s = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(s, (void *)&server, sizeof server) || write(s, request, size) != size) return perror("connect"), 1;
        setsockopt(s, SOL_SOCKET, SO_TIMESTAMPNS_, &on, sizeof on);
        struct epoll_event watch = {.events = EPOLLIN, .data.fd = s};
        epoll_ctl(poll, EPOLL_CTL_ADD, s, &watch);
    }
    static char buffer[65536];
    static struct epoll_event ready[512];
    volatile long long ids = 0;
    long messages = 0;
    long long begin = now(CLOCK_MONOTONIC) + atof(argv[4]) * 1e9, end = begin + atof(argv[5]) * 1e9, cpu = 0, opened = 0;
    for (;;) {
        int k = epoll_wait(poll, ready, 512, 100);
        for (int i = 0; i < k; i++) {
            char control[128];
            struct iovec io = {buffer, sizeof buffer};
            struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
            ssize_t got = recvmsg(ready[i].data.fd, &message, 0);
            if (got > 0) messages += events(buffer, buffer + got, &ids);
        }
        long long at = now(CLOCK_MONOTONIC);
        if (!opened && at >= begin) opened = at, messages = 0, cpu = now(CLOCK_PROCESS_CPUTIME_ID);
        if (opened && at >= end) {
            printf("%ld %lld %lld\n", messages, now(CLOCK_PROCESS_CPUTIME_ID) - cpu, at - opened);
            return 0;
        }
    }
}
