#pragma once

#include <cstddef>
#include <cstdint>

namespace kintsugi {

// Every function returns 0 or the errno of the call that failed. They touch nothing but their
// arguments and may run on any thread.

/// Writes all of `data` at `position`, continuing after short writes. After a failure any part of
/// it may have reached the file.
int writeAll(int fd, const void* data, size_t size, int64_t position);

/// Reads what the operating system has in memory of `size` bytes at `position`, without waiting for
/// the disk. `count` says how many bytes those were, from the first on: fewer than `size` when it does
/// not have all of them or the file ends. EAGAIN when it has not even the first, ENOTSUP where the
/// platform or the file system cannot say.
int readCached(int fd, void* data, size_t size, int64_t position, size_t* count);

/// Makes the contents and the size of the file durable.
int datasync(int fd);

/// writeAll, then datasync if that succeeded.
int writeAllAndDatasync(int fd, const void* data, size_t size, int64_t position);

/// Reserves disk space for bytes 0 to `size` and extends the file to `size` if it is shorter.
/// ENOTSUP where the file system cannot reserve.
int allocate(int fd, int64_t size);

}  // namespace kintsugi
