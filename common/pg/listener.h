// LISTEN/NOTIFY on a connection of its own. A notification is a hint: polling stays the truth.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/log/logger.h"

namespace crossover::pg {

struct ListenerOptions {
  std::string dsn;
  std::vector<std::string> channels;
  absl::Duration reconnect_min =
      absl::Milliseconds(100);  // doubles up to reconnect_max, with jitter
  absl::Duration reconnect_max = absl::Seconds(5);
};

// Owns one thread. Thread-safe.
class Listener {
 public:
  // Called on the listener's thread, never concurrently; must not block for long. After every
  // (re)connection it is called once per channel with an empty payload, because notifications may
  // have been missed.
  using Callback = std::function<void(std::string_view channel, std::string_view payload)>;

  // Starts listening in the background; a database that is down is retried, not an error. Borrows
  // logger.
  static std::unique_ptr<Listener> Start(ListenerOptions options, Callback callback,
                                         Logger& logger);

  // Stops and joins; no callback afterwards.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

 private:
  struct Impl;
  explicit Listener(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace crossover::pg
