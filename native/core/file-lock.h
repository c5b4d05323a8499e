#pragma once

namespace kintsugi {

/// Takes a lock on the whole file that belongs to the open file description: it ends when the last
/// descriptor of this very open() is closed, whatever else the process opens and closes. Never
/// waits. Returns 0, EAGAIN while another description holds a conflicting lock, or another errno.
/// An exclusive lock needs a descriptor open for writing, a shared one needs one open for reading.
int tryLock(int fd, bool exclusive);

}  // namespace kintsugi
