#include "core/boot-id.h"

#include <cerrno>

#if defined(__linux__)
#include <fcntl.h>
#include <unistd.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace kintsugi {

#if defined(__linux__)

int bootId(char* target, size_t capacity) {
  if (capacity == 0) return EINVAL;
  const int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  const ssize_t size = read(fd, target, capacity - 1);
  const int error = size < 0 ? errno : 0;
  close(fd);
  if (error != 0) return error;
  size_t end = static_cast<size_t>(size);
  while (end > 0 && target[end - 1] == '\n') end -= 1;
  target[end] = '\0';
  return end == 0 ? EIO : 0;
}

#elif defined(__APPLE__)

int bootId(char* target, size_t capacity) {
  size_t size = capacity;
  return sysctlbyname("kern.bootsessionuuid", target, &size, nullptr, 0) == 0 ? 0 : errno;
}

#else

int bootId(char*, size_t) { return ENOTSUP; }

#endif

}  // namespace kintsugi
