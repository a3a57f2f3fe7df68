// For a database on a disk that takes its time: each sync takes `SLOW_DISK_MICROSECONDS` more. Loaded with LD_PRELOAD.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static int slowly(const char *name, int file) {
    int (*sync)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    const char *microseconds = getenv("SLOW_DISK_MICROSECONDS");
    if (microseconds) usleep((useconds_t)atoi(microseconds));
    return sync(file);
}

int fsync(int file) { return slowly("fsync", file); }
int fdatasync(int file) { return slowly("fdatasync", file); }
