// UpstreamProber over HTTP: GET {base_url}/models, then one chat completion of one token.
#pragma once

#include "common/http/client.h"
#include "common/time/clock.h"
#include "services/registry/domain/upstream_prober.h"

namespace crossover::registry {

// Thread-safe. Borrows the clock.
class HttpUpstreamProber final : public UpstreamProber {
 public:
  explicit HttpUpstreamProber(Clock& clock) : clock_(clock) {}

  absl::StatusOr<ProbeResult> Probe(const ProbeRequest& request) override;

 private:
  absl::StatusOr<std::vector<std::string>> ListModels(const ProbeRequest& request,
                                                      const http::Headers& headers);
  absl::Status AskOneToken(const ProbeRequest& request, const http::Headers& headers,
                           ProbeResult& result);

  Clock& clock_;
  http::Client client_;
};

// The secret that `file:/path` or `env:NAME` points to; "" for an empty reference.
// FailedPrecondition CONFIG_INVALID.
absl::StatusOr<std::string> ReadCredential(const std::string& reference);

}  // namespace crossover::registry
