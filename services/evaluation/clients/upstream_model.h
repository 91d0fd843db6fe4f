// Models behind an upstream that speaks the OpenAI HTTP contract.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/http/client.h"
#include "common/time/clock.h"
#include "services/evaluation/clients/question.h"
#include "services/evaluation/domain/ports.h"

namespace crossover::evaluation {

struct UpstreamAddress {
  std::string base_url;  // https://host/v1
  std::string api_key;   // the secret itself; never logged; may be empty
};

// The secret behind `file:/path` or `env:NAME`. FailedPrecondition CONFIG_INVALID says what is
// missing.
absl::StatusOr<std::string> ReadCredential(const std::string& reference);

// Thread-safe. Borrows the clock.
class UpstreamModel {
 public:
  explicit UpstreamModel(Clock& clock) : clock_(clock) {}

  // POST /chat/completions with stream and include_usage. An upstream that answers without a stream
  // is understood too. Errors as SystemRunner::Ask: what lies in the row alone has reason
  // CONTEXT_LENGTH_EXCEEDED or CONTENT_FILTERED.
  absl::StatusOr<Reply> Ask(const UpstreamAddress& address, const std::string& model,
                            const RenderedQuestion& question, absl::Duration timeout);

 private:
  Clock& clock_;
  http::Client client_;
};

}  // namespace crossover::evaluation
