#pragma once

namespace kintsugi {

/// The symbolic name of an errno value, such as "ENOSPC"; "EUNKNOWN" for one not in the table.
/// The string is static.
const char* errorName(int errorNumber);

}  // namespace kintsugi
