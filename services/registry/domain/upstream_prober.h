// Asks an upstream whether it answers.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace crossover::registry {

struct ProbeRequest {
  std::string base_url;        // `https://host/v1`
  std::string credential_ref;  // `file:/path`, `env:NAME` or empty
  std::string model;           // empty = the first it lists
  absl::Duration timeout = absl::Seconds(30);
};

struct ProbeResult {
  std::vector<std::string> models;
  std::string model;     // the one that was asked
  std::string revision;  // "model id system_fingerprint" of its answer
  absl::Duration latency;
};

// Thread-safe.
class UpstreamProber {
 public:
  virtual ~UpstreamProber() = default;

  // Lists the models and asks one of them for one token. Unavailable UPSTREAM_UNHEALTHY says what
  // went wrong; FailedPrecondition CONFIG_INVALID if the credential cannot be read.
  virtual absl::StatusOr<ProbeResult> Probe(const ProbeRequest& request) = 0;
};

}  // namespace crossover::registry
