// The only file that knows N-API. Each function takes a descriptor and answers undefined, or a count
// where it reads, or the name of an errno; a bad argument is "EINVAL". Nothing here throws, keeps state, or outlives its
// environment, so any number of worker threads and contexts may load it.

#include <node_api.h>

#include <cerrno>
#include <cmath>
#include <cstdint>
#include <new>

#include "core/boot-id.h"
#include "core/error-name.h"
#include "core/file-io.h"
#include "core/file-lock.h"

namespace {

// Raised with every change of a signature below: a binary left over from another version of the
// sources is then refused by the loader instead of being called wrongly.
constexpr uint32_t kInterfaceVersion = 2;

constexpr double kMaxSafeInteger = 9007199254740991.0;

napi_value errorResult(napi_env env, int error) {
  napi_value result = nullptr;
  if (error == 0) {
    napi_get_undefined(env, &result);
  } else {
    napi_create_string_latin1(env, kintsugi::errorName(error), NAPI_AUTO_LENGTH, &result);
  }
  return result;
}

bool readInteger(napi_env env, napi_value value, double max, double* result) {
  if (napi_get_value_double(env, value, result) != napi_ok) return false;
  return *result >= 0 && *result <= max && std::floor(*result) == *result;
}

bool readFd(napi_env env, napi_value value, int* fd) {
  double number;
  if (!readInteger(env, value, INT32_MAX, &number)) return false;
  *fd = static_cast<int>(number);
  return true;
}

bool readOffset(napi_env env, napi_value value, int64_t* offset) {
  double number;
  if (!readInteger(env, value, kMaxSafeInteger, &number)) return false;
  *offset = static_cast<int64_t>(number);
  return true;
}

bool readBytes(napi_env env, napi_value value, void** data, size_t* size) {
  bool isBuffer = false;
  if (napi_is_buffer(env, value, &isBuffer) != napi_ok || !isBuffer) return false;
  return napi_get_buffer_info(env, value, data, size) == napi_ok;
}

/// Missing arguments arrive as undefined, which every reader above refuses.
template <size_t count>
bool readArguments(napi_env env, napi_callback_info info, napi_value (&values)[count]) {
  size_t given = count;
  return napi_get_cb_info(env, info, &given, values, nullptr, nullptr) == napi_ok;
}

/// Work for the thread pool. `run` sees no JavaScript; completion runs on the environment's own thread,
/// also while that environment is being torn down, where Node waits for work that has started.
struct Task {
  int fd = -1;
  /// What to write; null where there is nothing to.
  void* data = nullptr;
  size_t size = 0;
  /// Where to write, or the size to allocate.
  int64_t offset = 0;
  int (*run)(const Task&) = nullptr;
  int error = 0;
  napi_async_work work = nullptr;
  napi_deferred deferred = nullptr;
  /// Keeps the bytes alive while another thread reads them; null where there are none.
  napi_ref source = nullptr;
};

void executeTask(napi_env, void* data) {
  Task* task = static_cast<Task*>(data);
  task->error = task->run(*task);
}

void completeTask(napi_env env, napi_status status, void* data) {
  Task* task = static_cast<Task*>(data);
  const int error = status == napi_cancelled ? ECANCELED : task->error;
  // While the environment ends these calls may be refused. Nobody is left to be told then, and the
  // memory below is released all the same.
  napi_resolve_deferred(env, task->deferred, errorResult(env, error));
  if (task->source != nullptr) napi_delete_reference(env, task->source);
  napi_delete_async_work(env, task->work);
  delete task;
}

napi_value settledPromise(napi_env env, int error) {
  napi_deferred deferred = nullptr;
  napi_value promise = nullptr;
  if (napi_create_promise(env, &deferred, &promise) != napi_ok) return nullptr;
  napi_resolve_deferred(env, deferred, errorResult(env, error));
  return promise;
}

/// Runs a copy of `what` on the thread pool; `source` owns its bytes, null where there are none.
napi_value startTask(napi_env env, const Task& what, napi_value source) {
  Task* task = new (std::nothrow) Task(what);
  if (task == nullptr) return settledPromise(env, ENOMEM);
  napi_value name = nullptr;
  napi_value promise = nullptr;
  const bool ready =
      (source == nullptr || napi_create_reference(env, source, 1, &task->source) == napi_ok) &&
      napi_create_string_latin1(env, "kintsugi", NAPI_AUTO_LENGTH, &name) == napi_ok &&
      napi_create_async_work(env, nullptr, name, executeTask, completeTask, task, &task->work) ==
          napi_ok;
  if (ready && napi_create_promise(env, &task->deferred, &promise) == napi_ok) {
    if (napi_queue_async_work(env, task->work) == napi_ok) return promise;
    napi_resolve_deferred(env, task->deferred, errorResult(env, ENOMEM));
  }
  if (task->work != nullptr) napi_delete_async_work(env, task->work);
  if (task->source != nullptr) napi_delete_reference(env, task->source);
  delete task;
  return promise != nullptr ? promise : settledPromise(env, ENOMEM);
}

/// tryLock(fd, exclusive)
napi_value tryLock(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int fd;
  bool exclusive;
  if (!readArguments(env, info, values) || !readFd(env, values[0], &fd) ||
      napi_get_value_bool(env, values[1], &exclusive) != napi_ok) {
    return errorResult(env, EINVAL);
  }
  return errorResult(env, kintsugi::tryLock(fd, exclusive));
}

/// readCached(fd, bytes, position): how many bytes were read, or -1 when that would have to wait
napi_value readCached(napi_env env, napi_callback_info info) {
  napi_value values[3];
  int fd;
  void* data = nullptr;
  size_t size = 0;
  int64_t position;
  if (!readArguments(env, info, values) || !readFd(env, values[0], &fd) ||
      !readBytes(env, values[1], &data, &size) || !readOffset(env, values[2], &position) ||
      static_cast<double>(position) + static_cast<double>(size) > kMaxSafeInteger) {
    return errorResult(env, EINVAL);
  }
  size_t count = 0;
  const int error = kintsugi::readCached(fd, data, size, position, &count);
  if (error != 0 && error != EAGAIN) return errorResult(env, error);
  napi_value result = nullptr;
  napi_create_double(env, error == EAGAIN ? -1.0 : static_cast<double>(count), &result);
  return result;
}

/// allocateSync(fd, sizeBytes)
napi_value allocateSync(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int fd;
  int64_t size;
  if (!readArguments(env, info, values) || !readFd(env, values[0], &fd) ||
      !readOffset(env, values[1], &size)) {
    return errorResult(env, EINVAL);
  }
  return errorResult(env, kintsugi::allocate(fd, size));
}

/// allocate(fd, sizeBytes): promise
napi_value allocate(napi_env env, napi_callback_info info) {
  napi_value values[2];
  Task task;
  if (!readArguments(env, info, values) || !readFd(env, values[0], &task.fd) ||
      !readOffset(env, values[1], &task.offset)) {
    return settledPromise(env, EINVAL);
  }
  task.run = [](const Task& self) { return kintsugi::allocate(self.fd, self.offset); };
  return startTask(env, task, nullptr);
}

/// writeAndDatasync(fd, bytes, position): promise. The bytes must not change until it settles.
napi_value writeAndDatasync(napi_env env, napi_callback_info info) {
  napi_value values[3];
  Task task;
  if (!readArguments(env, info, values) || !readFd(env, values[0], &task.fd) ||
      !readBytes(env, values[1], &task.data, &task.size) ||
      !readOffset(env, values[2], &task.offset) ||
      static_cast<double>(task.offset) + static_cast<double>(task.size) > kMaxSafeInteger) {
    return settledPromise(env, EINVAL);
  }
  task.run = [](const Task& self) {
    return kintsugi::writeAllAndDatasync(self.fd, self.data, self.size, self.offset);
  };
  return startTask(env, task, values[1]);
}

/// bootId(): a string, or undefined where the platform has none
napi_value bootId(napi_env env, napi_callback_info) {
  char id[128];
  napi_value result = nullptr;
  if (kintsugi::bootId(id, sizeof id) == 0) {
    napi_create_string_utf8(env, id, NAPI_AUTO_LENGTH, &result);
  } else {
    napi_get_undefined(env, &result);
  }
  return result;
}

bool exportFunction(napi_env env, napi_value exports, const char* name, napi_callback callback) {
  napi_value function = nullptr;
  return napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function) ==
             napi_ok &&
         napi_set_named_property(env, exports, name, function) == napi_ok;
}

}  // namespace

NAPI_MODULE_INIT() {
  napi_value version = nullptr;
  const bool complete =
      napi_create_uint32(env, kInterfaceVersion, &version) == napi_ok &&
      exportFunction(env, exports, "tryLock", tryLock) &&
      exportFunction(env, exports, "readCached", readCached) &&
      exportFunction(env, exports, "allocateSync", allocateSync) &&
      exportFunction(env, exports, "allocate", allocate) &&
      exportFunction(env, exports, "writeAndDatasync", writeAndDatasync) &&
      exportFunction(env, exports, "bootId", bootId) &&
      // Last, so that a half-filled export object is never taken for a usable one.
      napi_set_named_property(env, exports, "interfaceVersion", version) == napi_ok;
  return complete ? exports : nullptr;
}
