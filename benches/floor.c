/* The floor of a three-way weighted average on this machine: the fastest of three programs that do nothing else.
 *
 *   cc -O3 -march=native -pthread floor.c -o floor
 *   ./floor MODE OUT THREADS A/shard B/shard C/shard [A/shard B/shard C/shard ...]
 *
 *   MODE  map      every input mapped whole, output written through the page cache
 *         read     inputs read into blocks, output written through the page cache
 *         direct   inputs read into blocks, output written around the page cache; always durable
 *   SYNC=1         durable: what is written is pushed out in windows while the work goes on, then fdatasync
 *   OUTPUTS=n      n different averages of the same three inputs (at most 16)
 *
 * Which one is fastest depends on the machine and on the state of its memory, so all are to be run. Shards come in groups of
 * three, the same shard of each ingredient, all BF16. It sums 5:2:3 in float32, rounds to nearest even, writes OUT/0,
 * OUT/1, ... and prints the seconds. It validates nothing, averages headers along with data, hashes nothing and keeps no
 * promise: a floor to compare with, not a program to use.
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

enum { BLOCK = 512 << 10, WINDOW = 32 << 20, PAGE = 4096, MAX_OUTPUTS = 16, MAX_SHARDS = 256, MAX_THREADS = 256 };

struct shard {
    int in[3], out[MAX_OUTPUTS];
    const uint8_t *map[3];
    size_t size, next;
};

static enum { MAP, READ, DIRECT } mode;
static struct shard shards[MAX_SHARDS];
static int shard_count, outputs = 1, sync_windows;
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

static void block_of(struct shard *s, size_t at, uint16_t *memory[4]) {
    size_t n = s->size - at < BLOCK ? s->size - at : BLOCK;
    const uint16_t *input[3];
    for (int i = 0; i < 3; i++) {
        input[i] = mode == MAP ? (const uint16_t *)(s->map[i] + at) : memory[i];
        if (mode != MAP && pread(s->in[i], memory[i], n, (off_t)at) != (ssize_t)n) fail("pread");
    }
    size_t written = mode == DIRECT ? (n + PAGE - 1) / PAGE * PAGE : n; /* cut to its size at the end */
    for (int k = 0; k < outputs; k++) {
        average(memory[3], input[0], input[1], input[2], n / 2, weights[k]);
        if (pwrite(s->out[k], memory[3], written, (off_t)at) != (ssize_t)written) fail("pwrite");
        if (sync_windows && (at + n) % WINDOW == 0)
            sync_file_range(s->out[k], (off_t)(at + n - WINDOW), WINDOW, SYNC_FILE_RANGE_WRITE);
    }
}

/* Threads begin at different shards: two that write one file wait for each other. */
static void *worker(void *number) {
    uint16_t *memory[4];
    for (int i = 0; i < 4; i++)
        if (!(memory[i] = aligned_alloc(PAGE, BLOCK))) fail("aligned_alloc");
    for (int k = 0; k < shard_count; k++) {
        struct shard *s = &shards[(k + (int)(intptr_t)number) % shard_count];
        for (size_t at; (at = __atomic_fetch_add(&s->next, BLOCK, __ATOMIC_RELAXED)) < s->size;)
            block_of(s, at, memory);
    }
    return 0;
}

static void open_shard(struct shard *s, int number, const char *folder, char **inputs) {
    for (int i = 0; i < 3; i++) {
        struct stat st;
        if ((s->in[i] = open(inputs[i], O_RDONLY)) < 0 || fstat(s->in[i], &st)) fail(inputs[i]);
        if (i && (size_t)st.st_size != s->size) {
            fprintf(stderr, "%s: its length differs from the first one's\n", inputs[i]);
            exit(1);
        }
        s->size = (size_t)st.st_size;
        if (mode == MAP) {
            s->map[i] = mmap(0, s->size, PROT_READ, MAP_SHARED, s->in[i], 0);
            if (s->map[i] == MAP_FAILED) fail(inputs[i]);
            madvise((void *)s->map[i], s->size, MADV_SEQUENTIAL);
        }
    }
    for (int k = 0; k < outputs; k++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%d", folder, outputs * number + k);
        s->out[k] = open(path, O_CREAT | O_TRUNC | O_RDWR | (mode == DIRECT ? O_DIRECT : 0), 0666);
        if (s->out[k] < 0) fail(path);
        if (fallocate(s->out[k], 0, 0, (off_t)s->size)) perror("fallocate (going on without)");
    }
}

int main(int argc, char **argv) {
    static const char *const modes[] = {"map", "read", "direct"};
    int found = -1;
    for (int m = 0; m < 3; m++)
        if (argc > 1 && !strcmp(argv[1], modes[m])) found = m;
    if (found < 0 || argc < 7 || (argc - 4) % 3 || argc - 4 > 3 * MAX_SHARDS) {
        fprintf(stderr, "usage: floor map|read|direct OUT THREADS A B C [A B C ...]\n");
        return 2;
    }
    mode = found;
    int threads = atoi(argv[3]);
    if (threads < 1 || threads > MAX_THREADS) return 2;
    if (getenv("OUTPUTS")) outputs = atoi(getenv("OUTPUTS"));
    if (outputs < 1 || outputs > MAX_OUTPUTS) return 2;
    sync_windows = getenv("SYNC") && mode != DIRECT;
    for (int k = 0; k < outputs; k++) {
        weights[k][0] = (float)(10 - k % 8 + k / 8) / 20;
        weights[k][1] = (float)(4 + k % 8) / 20;
        weights[k][2] = (float)(6 - k / 8) / 20;
    }

    struct timespec t0, t1;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    mkdir(argv[2], 0777);
    shard_count = (argc - 4) / 3;
    for (int s = 0; s < shard_count; s++) open_shard(&shards[s], s, argv[2], argv + 4 + 3 * s);
    pthread_t t[MAX_THREADS];
    for (intptr_t i = 0; i < threads; i++)
        if (pthread_create(&t[i], 0, worker, (void *)i)) fail("pthread_create");
    for (int i = 0; i < threads; i++) pthread_join(t[i], 0);
    for (int s = 0; s < shard_count; s++)
        for (int k = 0; k < outputs; k++) {
            if (mode == DIRECT && ftruncate(shards[s].out[k], (off_t)shards[s].size)) fail("ftruncate");
            if ((mode == DIRECT || getenv("SYNC")) && fdatasync(shards[s].out[k])) fail("fdatasync");
        }
    clock_gettime(CLOCK_MONOTONIC, &t1);
    printf("%.3f\n", (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) * 1e-9);
    return 0;
}
