#include "core/file-io.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

namespace kintsugi {

namespace {

// Linux moves at most 0x7ffff000 bytes per call and macOS refuses more than INT_MAX.
constexpr size_t kMaxBytesPerCall = size_t{1} << 30;

}  // namespace

int writeAll(int fd, const void* data, size_t size, int64_t position) {
  const char* next = static_cast<const char*>(data);
  while (size > 0) {
    const size_t chunk = size < kMaxBytesPerCall ? size : kMaxBytesPerCall;
    const ssize_t written = pwrite(fd, next, chunk, static_cast<off_t>(position));
    if (written < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    // A device that takes nothing without saying why would keep this loop running for ever.
    if (written == 0) return EIO;
    next += written;
    size -= static_cast<size_t>(written);
    position += written;
  }
  return 0;
}

#if defined(__linux__) && defined(RWF_NOWAIT)

int readCached(int fd, void* data, size_t size, int64_t position, size_t* count) {
  // Once, and never repeated: whoever gets less than all of it reads the ordinary way.
  const iovec target = {data, size < kMaxBytesPerCall ? size : kMaxBytesPerCall};
  const ssize_t length = preadv2(fd, &target, 1, static_cast<off_t>(position), RWF_NOWAIT);
  if (length < 0) return errno == ENOSYS ? ENOTSUP : errno;
  *count = static_cast<size_t>(length);
  return 0;
}

#else

int readCached(int, void*, size_t, int64_t, size_t*) { return ENOTSUP; }

#endif

int datasync(int fd) {
#if defined(__APPLE__)
  // fsync on macOS leaves the bytes in the drive's cache; file systems without F_FULLFSYNC (network
  // ones) have nothing better than fsync.
  if (fcntl(fd, F_FULLFSYNC) == 0) return 0;
  if (errno != ENOTSUP && errno != ENOTTY && errno != EINVAL) return errno;
  return fsync(fd) == 0 ? 0 : errno;
#else
  // Not repeated on EINTR: an error may have been consumed with the first call, so a second success
  // would prove nothing (rule F1).
  return fdatasync(fd) == 0 ? 0 : errno;
#endif
}

int writeAllAndDatasync(int fd, const void* data, size_t size, int64_t position) {
  const int error = writeAll(fd, data, size, position);
  return error != 0 ? error : datasync(fd);
}

#if defined(__APPLE__)

int allocate(int fd, int64_t size) {
  struct stat status;
  if (fstat(fd, &status) != 0) return errno;
  if (status.st_size >= size) return 0;
  fstore_t request = {};
  request.fst_flags = F_ALLOCATEALL;
  request.fst_posmode = F_PEOFPOSMODE;
  request.fst_length = size - status.st_size;
  if (fcntl(fd, F_PREALLOCATE, &request) != 0) return errno;
  return ftruncate(fd, size) == 0 ? 0 : errno;
}

#elif defined(__linux__)

int allocate(int fd, int64_t size) {
  // Not posix_fallocate: where the file system cannot reserve, the C library writes into every block
  // instead, which races with other writers of the file.
  while (fallocate(fd, 0, 0, static_cast<off_t>(size)) != 0) {
    if (errno == EINTR) continue;
    return errno == EOPNOTSUPP || errno == ENOSYS ? ENOTSUP : errno;
  }
  return 0;
}

#else

int allocate(int, int64_t) { return ENOTSUP; }

#endif

}  // namespace kintsugi
