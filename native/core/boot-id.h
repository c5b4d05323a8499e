#pragma once

#include <cstddef>

namespace kintsugi {

/// Writes the operating system's id of the current boot into `target`, NUL-terminated. Returns 0, or
/// an errno (ENOTSUP where the platform has none).
int bootId(char* target, size_t capacity);

}  // namespace kintsugi
