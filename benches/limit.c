/* The floor of a three-way weighted average on this machine.
 *
 *   cc -O3 -march=native -pthread limit.c -o limit
 *   ./limit OUT THREADS A/shard B/shard C/shard [A/shard B/shard C/shard ...]
 *
 *   SYNC=1       make each output durable with fdatasync before it is closed
 *   OUTPUTS=n    write n different averages of the same three inputs (at most 16)
 *
 * Shards come in groups of three, the same shard of each ingredient, all BF16. It maps the inputs, sums 5:2:3 in
 * float32, rounds to nearest even, writes OUT/0, OUT/1, ... and prints the seconds. It validates nothing, averages
 * headers along with data, hashes nothing and keeps no promise: a floor to compare with, not a program to use.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 1 << 20, MAX_OUTPUTS = 16, MAX_THREADS = 256 };

static const uint8_t *in[3];
static size_t size;
static size_t next_offset;
static int outputs = 1, out[MAX_OUTPUTS];
static float weights[MAX_OUTPUTS][3];

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static float widen(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

static void average(uint16_t *restrict o, const uint16_t *a, const uint16_t *b, const uint16_t *c, size_t n,
                    const float w[3]) {
    for (size_t i = 0; i < n; i++) {
        float sum = w[0] * widen(a[i]) + w[1] * widen(b[i]) + w[2] * widen(c[i]);
        uint32_t bits;
        memcpy(&bits, &sum, sizeof bits);
        o[i] = (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
    }
}

static void *worker(void *unused) {
    (void)unused;
    uint16_t *buffer = aligned_alloc(4096, CHUNK);
    if (!buffer) fail("aligned_alloc");
    for (;;) {
        size_t at = __atomic_fetch_add(&next_offset, CHUNK, __ATOMIC_RELAXED);
        if (at >= size) break;
        size_t n = size - at < CHUNK ? size - at : CHUNK;
        for (int k = 0; k < outputs; k++) {
            average(buffer, (const uint16_t *)(in[0] + at), (const uint16_t *)(in[1] + at),
                    (const uint16_t *)(in[2] + at), n / 2, weights[k]);
            if (pwrite(out[k], buffer, n, (off_t)at) != (ssize_t)n) fail("pwrite");
        }
    }
    free(buffer);
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 6 || (argc - 3) % 3) {
        fprintf(stderr, "usage: limit OUT THREADS A B C [A B C ...]\n");
        return 2;
    }
    int threads = atoi(argv[2]);
    if (threads < 1 || threads > MAX_THREADS) return 2;
    if (getenv("OUTPUTS")) outputs = atoi(getenv("OUTPUTS"));
    if (outputs < 1 || outputs > MAX_OUTPUTS) return 2;
    for (int k = 0; k < outputs; k++) {
        weights[k][0] = (float)(10 - k % 8 + k / 8) / 20;
        weights[k][1] = (float)(4 + k % 8) / 20;
        weights[k][2] = (float)(6 - k / 8) / 20;
    }

    struct timespec t0, t1;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    mkdir(argv[1], 0777);
    for (int s = 0; s < (argc - 3) / 3; s++) {
        for (int i = 0; i < 3; i++) {
            const char *path = argv[3 + 3 * s + i];
            int fd = open(path, O_RDONLY);
            struct stat st;
            if (fd < 0 || fstat(fd, &st)) fail(path);
            if (i && (size_t)st.st_size != size) {
                fprintf(stderr, "%s: its length differs from the first one's\n", path);
                return 1;
            }
            size = (size_t)st.st_size;
            in[i] = mmap(0, size, PROT_READ, MAP_SHARED, fd, 0);
            if (in[i] == MAP_FAILED) fail(path);
            madvise((void *)in[i], size, MADV_SEQUENTIAL);
            close(fd);
        }
        for (int k = 0; k < outputs; k++) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%d", argv[1], outputs * s + k);
            out[k] = open(path, O_CREAT | O_TRUNC | O_RDWR, 0666);
            if (out[k] < 0) fail(path);
            if (fallocate(out[k], 0, 0, (off_t)size)) perror("fallocate (going on without)");
        }
        pthread_t t[MAX_THREADS];
        next_offset = 0;
        for (int i = 0; i < threads; i++)
            if (pthread_create(&t[i], 0, worker, 0)) fail("pthread_create");
        for (int i = 0; i < threads; i++) pthread_join(t[i], 0);
        for (int i = 0; i < 3; i++) munmap((void *)in[i], size);
        for (int k = 0; k < outputs; k++) {
            if (getenv("SYNC") && fdatasync(out[k])) fail("fdatasync");
            close(out[k]);
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &t1);
    printf("%.3f\n", (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) * 1e-9);
    return 0;
}
