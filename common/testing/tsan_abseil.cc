// Tells ThreadSanitizer what the distribution's Abseil does, which was compiled without it: whoever
// takes a mutex sees what was done by those who held it before. Without, everything under an
// absl::Mutex is reported as a race. Linked into the tests of the tsan preset, whose symbols the
// dynamic linker prefers to the library's, also in gRPC.
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <cstdlib>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
}

namespace {

template <typename Function>
Function* Original(const char* symbol) {
  void* const address = ::dlsym(RTLD_NEXT, symbol);
  if (address == nullptr) std::abort();  // another version of Abseil
  return reinterpret_cast<Function*>(address);
}

// Conditions that others wait for are evaluated by the thread that lets the mutex go, while it
// still holds it: to ThreadSanitizer it has let go.
class IgnoreConditions {
 public:
  IgnoreConditions() { AnnotateIgnoreReadsBegin(__FILE__, __LINE__); }
  ~IgnoreConditions() { AnnotateIgnoreReadsEnd(__FILE__, __LINE__); }
};

template <typename Result, typename... Arguments>
Result LetGo(void* mutex, Result (*original)(void*, Arguments...), Arguments... arguments) {
  const IgnoreConditions ignore;
  __tsan_release(mutex);
  return original(mutex, arguments...);
}

template <typename Result, typename... Arguments>
Result Take(void* mutex, Result (*original)(void*, Arguments...), Arguments... arguments) {
  struct Taken {
    void* mutex;
    ~Taken() { __tsan_acquire(mutex); }
  } taken{mutex};
  const IgnoreConditions ignore;
  return original(mutex, arguments...);
}

template <typename Result, typename... Arguments>
Result Wait(void* mutex, Result (*original)(void*, Arguments...), Arguments... arguments) {
  __tsan_release(mutex);
  return Take(mutex, original, arguments...);
}

}  // namespace

namespace absl {
ABSL_NAMESPACE_BEGIN

#define ORIGINAL(symbol, ...) \
  static auto* const original = Original<__VA_ARGS__>("_ZN4absl7debian35Mutex" symbol)

void Mutex::Lock() {
  ORIGINAL("4LockEv", void(void*));
  Take(this, original);
}
bool Mutex::TryLock() {
  ORIGINAL("7TryLockEv", bool(void*));
  return Take(this, original);
}
void Mutex::Unlock() {
  ORIGINAL("6UnlockEv", void(void*));
  LetGo(this, original);
}
void Mutex::ReaderLock() {
  ORIGINAL("10ReaderLockEv", void(void*));
  Take(this, original);
}
bool Mutex::ReaderTryLock() {
  ORIGINAL("13ReaderTryLockEv", bool(void*));
  return Take(this, original);
}
void Mutex::ReaderUnlock() {
  ORIGINAL("12ReaderUnlockEv", void(void*));
  LetGo(this, original);
}
void Mutex::LockWhen(const Condition& condition) {
  ORIGINAL("8LockWhenERKNS0_9ConditionE", void(void*, const Condition*));
  Take(this, original, &condition);
}
bool Mutex::LockWhenWithTimeout(const Condition& condition, Duration timeout) {
  ORIGINAL("19LockWhenWithTimeoutERKNS0_9ConditionENS0_8DurationE",
           bool(void*, const Condition*, Duration));
  return Take(this, original, &condition, timeout);
}
bool Mutex::LockWhenWithDeadline(const Condition& condition, Time deadline) {
  ORIGINAL("20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE",
           bool(void*, const Condition*, Time));
  return Take(this, original, &condition, deadline);
}
void Mutex::ReaderLockWhen(const Condition& condition) {
  ORIGINAL("14ReaderLockWhenERKNS0_9ConditionE", void(void*, const Condition*));
  Take(this, original, &condition);
}
void Mutex::Await(const Condition& condition) {
  ORIGINAL("5AwaitERKNS0_9ConditionE", void(void*, const Condition*));
  Wait(this, original, &condition);
}
bool Mutex::AwaitWithTimeout(const Condition& condition, Duration timeout) {
  ORIGINAL("16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE",
           bool(void*, const Condition*, Duration));
  return Wait(this, original, &condition, timeout);
}
bool Mutex::AwaitWithDeadline(const Condition& condition, Time deadline) {
  ORIGINAL("17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE", bool(void*, const Condition*, Time));
  return Wait(this, original, &condition, deadline);
}

#undef ORIGINAL

ABSL_NAMESPACE_END
}  // namespace absl
