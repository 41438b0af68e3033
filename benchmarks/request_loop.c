/* How many requests a second a server answers: one epoll loop in C over kept-alive connections, each with one request
 * under way; every answer has no body and the status that is asked for. Driven by request_ceiling.py.
 *
 *   cc -O2 request_loop.c -o request_loop && ./request_loop CONNECTIONS PORT STATUS WARM_SECONDS SECONDS < request
 *
 * The request stands on standard input, with its empty line. Prints a line when the window opens, and one when it has
 * closed: requests answered, CPU nanoseconds, wall nanoseconds. Any other answer ends it with its first line. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST 4096
#define CONNECTIONS 1024

static long long now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* An answer may come in several reads: what there is of it, by connection. */
static struct { int socket; size_t held; char text[MOST]; } each[CONNECTIONS];

int main(int argc, char **argv) {
    if (argc != 6) return fprintf(stderr, "usage: request_loop CONNECTIONS PORT STATUS WARM_SECONDS SECONDS < request\n"), 2;
    int count = atoi(argv[1]), poll = epoll_create1(0), on = 1;
    if (count < 1 || count > CONNECTIONS) return fprintf(stderr, "from 1 to %d connections\n", CONNECTIONS), 2;
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    inet_pton(AF_INET, "127.0.0.1", &server.sin_addr);
    char request[MOST], expected[32];
    ssize_t size = fread(request, 1, sizeof request, stdin);
    int head = snprintf(expected, sizeof expected, "HTTP/1.1 %s", argv[3]);
    for (int i = 0; i < count; i++) {
        int s = each[i].socket = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(s, (void *)&server, sizeof server)) return perror("connect"), 1;
        setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct epoll_event watch = {.events = EPOLLIN, .data.u32 = i};
        epoll_ctl(poll, EPOLL_CTL_ADD, s, &watch);
        if (write(s, request, size) != size) return perror("write"), 1;
    }
    static struct epoll_event ready[512];
    long answered = 0;
    long long begin = now(CLOCK_MONOTONIC) + atof(argv[4]) * 1e9, cpu = 0, opened = 0;
    for (;;) {
        int k = epoll_wait(poll, ready, 512, 100);
        for (int i = 0; i < k; i++) {
            int at = ready[i].data.u32;
            char *text = each[at].text;
            ssize_t got = read(each[at].socket, text + each[at].held, MOST - 1 - each[at].held);
            if (got <= 0) return fprintf(stderr, "the server closed a connection\n"), 1;
            size_t held = each[at].held += got;
            if (held < 4 || memcmp(text + held - 4, "\r\n\r\n", 4)) {
                if (held == MOST - 1) return fprintf(stderr, "an answer is longer than %d bytes\n", MOST), 1;
                continue;
            }
            if (memcmp(text, expected, head) || memmem(text, held, "\r\n\r\n", 4) != text + held - 4) {
                return fprintf(stderr, "expected %s without a body, not %.*s\n", expected, (int)strcspn(text, "\r"), text), 1;
            }
            answered++;
            each[at].held = 0;
            if (write(each[at].socket, request, size) != size) return perror("write"), 1;
        }
        long long moment = now(CLOCK_MONOTONIC);
        if (!opened && moment >= begin) {
            opened = moment, answered = 0, cpu = now(CLOCK_PROCESS_CPUTIME_ID);
            printf("open\n"), fflush(stdout);
        }
        if (opened && moment >= opened + atof(argv[5]) * 1e9) {
            printf("%ld %lld %lld\n", answered, now(CLOCK_PROCESS_CPUTIME_ID) - cpu, moment - opened);
            return 0;
        }
    }
}
