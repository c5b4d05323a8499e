#include "core/file-lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

namespace kintsugi {

namespace {

int tryFlock(int fd, bool exclusive) {
  while (flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    return errno == EWOULDBLOCK ? EAGAIN : errno;
  }
  return 0;
}

}  // namespace

int tryLock(int fd, bool exclusive) {
#if defined(__linux__) && defined(F_OFD_SETLK)
  struct flock region = {};
  region.l_type = exclusive ? F_WRLCK : F_RDLCK;
  region.l_whence = SEEK_SET;
  while (fcntl(fd, F_OFD_SETLK, &region) != 0) {
    if (errno == EINTR) continue;
    // A kernel before 3.15 knows no such command, and says so to every opener alike.
    if (errno == EINVAL) return tryFlock(fd, exclusive);
    return errno == EACCES ? EAGAIN : errno;
  }
  return 0;
#else
  return tryFlock(fd, exclusive);
#endif
}

}  // namespace kintsugi
