// Who calls the front door, and what they may do there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace crossover::router {

// What a key may use; 0: no limit.
struct CallerLimits {
  int64_t requests_per_minute = 0;
  int64_t tokens_per_minute = 0;  // Prompt and answer.
  double spend_per_day_usd = 0;   // Days are UTC.

  bool operator==(const CallerLimits&) const = default;
};

// What a request asks for: to look, or to call a model and say something about its answers.
enum class Access { kRead, kCall };

struct Caller {
  std::string name;                 // "apiKeys/06b…", "loopback"
  std::string project;              // "projects/default"; empty: any
  std::vector<std::string> routes;  // Slugs or whole names it may use; empty: all of the project.
  CallerLimits limits;
  bool may_read = true;
  bool may_call = true;
};

// OK, or PERMISSION_DENIED `ROLE_INSUFFICIENT`.
absl::Status CheckAccess(const Caller& caller, Access access);
// Whether the key's list of routes holds this one, given by its resource name.
bool MayUseRoute(const Caller& caller, const std::string& route);

// Thread-safe. UNAUTHENTICATED `API_KEY_MISSING` or `API_KEY_INVALID`; UNAVAILABLE while nobody can
// say.
class Callers {
 public:
  virtual ~Callers() = default;

  // `authorization`: the whole header, or empty. `peer`: "127.0.0.1:54321". Only what is in memory;
  // nullopt: ask Find.
  virtual std::optional<absl::StatusOr<Caller>> Known(std::string_view authorization,
                                                      std::string_view peer) = 0;
  // May block on the network.
  virtual absl::StatusOr<Caller> Find(std::string_view authorization, std::string_view peer) = 0;
};

// The same caller for everyone: a router that only trusted programs reach, and tests.
class EveryoneIs final : public Callers {
 public:
  explicit EveryoneIs(Caller caller) : caller_(std::move(caller)) {}
  std::optional<absl::StatusOr<Caller>> Known(std::string_view, std::string_view) override {
    return caller_;
  }
  absl::StatusOr<Caller> Find(std::string_view, std::string_view) override { return caller_; }

 private:
  const Caller caller_;
};

}  // namespace crossover::router
