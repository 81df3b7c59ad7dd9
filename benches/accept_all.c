/*
 * The least that a program on NFQUEUE does: it accepts each packet, by libnetfilter_queue, one verdict a packet, with GSO and
 * the same buffers as the gate. benches/run measures the gate next to it. It has each packet whole, or as many bytes of it as
 * are named. Of several queues each has a process on a processor of its own. Prints "ready", then runs until it is killed.
 *
 * accept_all QUEUE [BYTES [QUEUES]]
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PACKETS_MAX = 1024, RECV_BUFFER = 8 << 20, COPY_RANGE = 0xffff };

static char buffer[COPY_RANGE + 4096] __attribute__((aligned(8)));

static int accept_it(struct nfq_q_handle *queue, struct nfgenmsg *message, struct nfq_data *packet, void *data)
{
    (void)message;
    (void)data;
    struct nfqnl_msg_packet_hdr *header = nfq_get_msg_packet_hdr(packet);
    return nfq_set_verdict(queue, header ? ntohl(header->packet_id) : 0, NF_ACCEPT, 0, NULL);
}

static void check(int ok, const char *what)
{
    if (!ok) {
        perror(what);
        exit(1);
    }
}

/* Which of so many processes this is; the others end with the first. */
static int split(int processes)
{
    int nth = 0;
    for (int other = 1; other < processes && nth == 0; other++) {
        pid_t child = fork();
        check(child >= 0, "fork");
        if (child == 0) {
            check(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0, "PR_SET_PDEATHSIG");
            nth = other;
        }
    }
    cpu_set_t own;
    CPU_ZERO(&own);
    CPU_SET(nth, &own);
    check(processes == 1 || sched_setaffinity(0, sizeof own, &own) == 0, "sched_setaffinity");
    return nth;
}

int main(int argc, char **argv)
{
    int number = (argc > 1 ? atoi(argv[1]) : 0) + split(argc > 3 ? atoi(argv[3]) : 1);
    struct nfq_handle *handle = nfq_open();
    check(handle != NULL, "nfq_open");
    struct nfq_q_handle *queue = nfq_create_queue(handle, (uint16_t)number, accept_it, NULL);
    check(queue != NULL, "nfq_create_queue");
    check(nfq_set_mode(queue, NFQNL_COPY_PACKET, argc > 2 ? (uint32_t)atoi(argv[2]) : COPY_RANGE) == 0, "nfq_set_mode");
    check(nfq_set_queue_flags(queue, NFQA_CFG_F_GSO, NFQA_CFG_F_GSO) == 0, "nfq_set_queue_flags");
    check(nfq_set_queue_maxlen(queue, PACKETS_MAX) == 0, "nfq_set_queue_maxlen");
    int fd = nfq_fd(handle);
    int size = RECV_BUFFER;
    check(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) == 0, "SO_RCVBUFFORCE");
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        ssize_t got = recv(fd, buffer, sizeof buffer, 0);
        if (got >= 0)
            nfq_handle_packet(handle, buffer, (int)got);
        else
            check(errno == ENOBUFS || errno == EINTR, "recv");
    }
}
