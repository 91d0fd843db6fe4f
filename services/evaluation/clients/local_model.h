// Base models and adapters of the model server, over inference.v1.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/time/clock.h"
#include "crossover/inference/v1/inference_service.grpc.pb.h"
#include "services/evaluation/clients/channels.h"
#include "services/evaluation/clients/question.h"
#include "services/evaluation/domain/ports.h"

namespace crossover::evaluation {

// Thread-safe. Borrows the clock.
class LocalModel {
 public:
  LocalModel(const Channels& channels, Clock& clock);

  // Sets model_digest and base_digest; brings an adapter into memory, so that loading is in
  // nobody's latency. NotFound MODEL_NOT_FOUND lists what is there.
  absl::StatusOr<System> Resolve(System system);

  // Streams the answer, so that the time to the first token is seen.
  absl::StatusOr<Reply> Ask(const System& system, const RenderedQuestion& question,
                            absl::Duration timeout);

 private:
  // Of the model that answers to this alias; loads it if nobody has used it yet.
  absl::StatusOr<std::string> DigestOf(const std::string& name);

  std::unique_ptr<inference::v1::InferenceService::Stub> stub_;
  std::string api_key_;
  Clock& clock_;
};

}  // namespace crossover::evaluation
