/*
 * Preloaded into a process, writes down every change it makes to the files below $RECORDED_ROOT, in
 * order, into $RECORDED_TRACE: whoever makes it, Node.js, an addon or a library in it. One operation
 * at a time: each is finished and written down before the next begins. trace.ts reads the result.
 *
 * What goes through C streams (LevelDB's files do) is read back from the file at every flush and
 * sync; such files only ever grow at their end.
 */
#define _GNU_SOURCE
#define _LARGEFILE64_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, WRITE, SYNC, TRUNCATE, ALLOCATE, RENAME, UNLINK, MKDIR, RMDIR, CLOSE, LINK };
enum { MAX_FILES = 65536 };

struct event {
  uint32_t type;
  int32_t file;
  uint64_t a, b;
  uint64_t length;
};

static const char *root;
static size_t root_length;
static int trace = -1;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint8_t tracked[MAX_FILES];
/* How much of a file that only grows has been written down. */
static uint64_t seen[MAX_FILES];

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) {
  void *found = dlsym(RTLD_NEXT, name);
  if (found == NULL) abort();
  return found;
}

__attribute__((constructor)) static void start(void) {
  root = getenv("RECORDED_ROOT");
  const char *path = getenv("RECORDED_TRACE");
  if (root == NULL || path == NULL) return;
  root_length = strlen(root);
  trace = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (trace < 0) abort();
}

static int is_below(const char *path) {
  return trace >= 0 && path != NULL && strncmp(path, root, root_length) == 0;
}

static int is_tracked(int fd) { return fd >= 0 && fd < MAX_FILES && tracked[fd]; }

static void put(const void *bytes, size_t length) {
  const char *next = bytes;
  while (length > 0) {
    const long written = syscall(SYS_write, trace, next, length);
    if (written < 0) abort();
    next += written;
    length -= (size_t)written;
  }
}

static void record(uint32_t type, int fd, uint64_t a, uint64_t b, const void *bytes, size_t length) {
  const int kept = errno;
  const struct event event = {type, fd, a, b, length};
  put(&event, sizeof event);
  put(bytes, length);
  errno = kept;
}

static void record_paths(uint32_t type, const char *from, const char *to) {
  char both[8192];
  const int length = snprintf(both, sizeof both, "%s%c%s", from, 0, to);
  record(type, -1, 0, 0, both, (size_t)length);
}

/* Writes down what a file has gained. */
static void catch_up(int fd) {
  const int kept = errno;
  struct stat stat;
  char name[64];
  if (fstat(fd, &stat) != 0 || (uint64_t)stat.st_size <= seen[fd]) return;
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  const int reader = (int)syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC, 0);
  if (reader < 0) abort();
  const size_t length = (size_t)stat.st_size - seen[fd];
  char *bytes = malloc(length);
  size_t done = 0;
  while (done < length) {
    const ssize_t got = pread(reader, bytes + done, length - done, (off_t)(seen[fd] + done));
    if (got <= 0) abort();
    done += (size_t)got;
  }
  syscall(SYS_close, reader);
  record(WRITE, fd, seen[fd], 0, bytes, length);
  free(bytes);
  seen[fd] += length;
  errno = kept;
}

static void begin_tracking(int fd, const char *path, int flags) {
  if (fd < 0 || fd >= MAX_FILES || !is_below(path)) return;
  struct stat stat;
  if (fstat(fd, &stat) != 0) abort();
  tracked[fd] = 1;
  seen[fd] = (uint64_t)stat.st_size;
  const uint64_t bits = ((flags & O_CREAT) ? 1 : 0) | ((flags & O_TRUNC) ? 2 : 0) |
                        ((flags & O_ACCMODE) != O_RDONLY ? 4 : 0);
  record(OPEN, fd, bits, S_ISDIR(stat.st_mode), path, strlen(path));
}

#define LOCKED(type, call)            \
  pthread_mutex_lock(&mutex);         \
  type const result = (call)
#define DONE                          \
  pthread_mutex_unlock(&mutex);       \
  return result

int open64(const char *path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = va_arg(more, mode_t);
  va_end(more);
  if (!is_below(path)) return REAL(open64)(path, flags, mode);
  LOCKED(int, REAL(open64)(path, flags, mode));
  begin_tracking(result, path, flags);
  DONE;
}

int open(const char *path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = va_arg(more, mode_t);
  va_end(more);
  return open64(path, flags, mode);
}

FILE *fopen64(const char *path, const char *mode) {
  if (!is_below(path)) return REAL(fopen64)(path, mode);
  LOCKED(FILE *, REAL(fopen64)(path, mode));
  const int flags = mode[0] == 'r' ? O_RDONLY : O_WRONLY | O_CREAT | (mode[0] == 'w' ? O_TRUNC : 0);
  if (result != NULL) begin_tracking(fileno(result), path, flags);
  DONE;
}

FILE *fopen(const char *path, const char *mode) { return fopen64(path, mode); }

static int flush(FILE *stream, int (*call)(FILE *)) {
  if (stream == NULL || !is_tracked(fileno(stream))) return call(stream);
  LOCKED(int, call(stream));
  catch_up(fileno(stream));
  DONE;
}

int fflush(FILE *stream) { return flush(stream, REAL(fflush)); }
int fflush_unlocked(FILE *stream) { return flush(stream, REAL(fflush_unlocked)); }

int fclose(FILE *stream) {
  const int fd = fileno(stream);
  if (!is_tracked(fd)) return REAL(fclose)(stream);
  pthread_mutex_lock(&mutex);
  REAL(fflush)(stream);
  catch_up(fd);
  record(CLOSE, fd, 0, 0, NULL, 0);
  tracked[fd] = 0;
  const int result = REAL(fclose)(stream);
  DONE;
}

int close(int fd) {
  if (!is_tracked(fd)) return REAL(close)(fd);
  pthread_mutex_lock(&mutex);
  record(CLOSE, fd, 0, 0, NULL, 0);
  tracked[fd] = 0;
  const int result = REAL(close)(fd);
  DONE;
}

ssize_t write(int fd, const void *bytes, size_t length) {
  if (!is_tracked(fd)) return REAL(write)(fd, bytes, length);
  LOCKED(ssize_t, REAL(write)(fd, bytes, length));
  catch_up(fd);
  DONE;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  if (!is_tracked(fd)) return REAL(writev)(fd, parts, count);
  LOCKED(ssize_t, REAL(writev)(fd, parts, count));
  catch_up(fd);
  DONE;
}

static void wrote(int fd, uint64_t offset, const void *bytes, size_t length) {
  record(WRITE, fd, offset, 0, bytes, length);
  if (offset + length > seen[fd]) seen[fd] = offset + length;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
  if (!is_tracked(fd)) return REAL(pwrite64)(fd, bytes, length, offset);
  LOCKED(ssize_t, REAL(pwrite64)(fd, bytes, length, offset));
  if (result > 0) wrote(fd, (uint64_t)offset, bytes, (size_t)result);
  DONE;
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
  if (!is_tracked(fd)) return REAL(pwritev64)(fd, parts, count, offset);
  LOCKED(ssize_t, REAL(pwritev64)(fd, parts, count, offset));
  size_t left = result > 0 ? (size_t)result : 0;
  uint64_t at = (uint64_t)offset;
  for (int i = 0; i < count && left > 0; i++) {
    const size_t length = parts[i].iov_len < left ? parts[i].iov_len : left;
    wrote(fd, at, parts[i].iov_base, length);
    at += length;
    left -= length;
  }
  DONE;
}

static int sync_file(int fd, int (*call)(int)) {
  if (!is_tracked(fd)) return call(fd);
  LOCKED(int, call(fd));
  if (result == 0) record(SYNC, fd, 0, 0, NULL, 0);
  DONE;
}

int fdatasync(int fd) { return sync_file(fd, REAL(fdatasync)); }
int fsync(int fd) { return sync_file(fd, REAL(fsync)); }

int ftruncate64(int fd, off64_t size) {
  if (!is_tracked(fd)) return REAL(ftruncate64)(fd, size);
  LOCKED(int, REAL(ftruncate64)(fd, size));
  if (result == 0) {
    record(TRUNCATE, fd, (uint64_t)size, 0, NULL, 0);
    seen[fd] = (uint64_t)size;
  }
  DONE;
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
  if (!is_tracked(fd)) return REAL(fallocate64)(fd, mode, offset, length);
  LOCKED(int, REAL(fallocate64)(fd, mode, offset, length));
  if (result == 0) {
    record(ALLOCATE, fd, (uint64_t)(offset + length), 0, NULL, 0);
    if ((uint64_t)(offset + length) > seen[fd]) seen[fd] = (uint64_t)(offset + length);
  }
  DONE;
}

int rename(const char *from, const char *to) {
  if (!is_below(from)) return REAL(rename)(from, to);
  LOCKED(int, REAL(rename)(from, to));
  if (result == 0) record_paths(RENAME, from, to);
  DONE;
}

int link(const char *from, const char *to) {
  if (!is_below(from)) return REAL(link)(from, to);
  LOCKED(int, REAL(link)(from, to));
  if (result == 0) record_paths(LINK, from, to);
  DONE;
}

#define ON_PATH(name, type)                                         \
  int name(const char *path) {                                      \
    if (!is_below(path)) return REAL(name)(path);                   \
    LOCKED(int, REAL(name)(path));                                  \
    if (result == 0) record(type, -1, 0, 0, path, strlen(path));    \
    DONE;                                                           \
  }
ON_PATH(unlink, UNLINK)
ON_PATH(rmdir, RMDIR)

int mkdir(const char *path, mode_t mode) {
  if (!is_below(path)) return REAL(mkdir)(path, mode);
  LOCKED(int, REAL(mkdir)(path, mode));
  if (result == 0) record(MKDIR, -1, 0, 0, path, strlen(path));
  DONE;
}
