// The mirror's way to a model: blocking calls over connections and a thread of their own.
#pragma once

#include <memory>

#include "common/http/client.h"
#include "common/time/clock.h"
#include "services/shadow_router/domain/upstream.h"

namespace crossover::router {

// Thread-safe. Owns one io thread; the callers' threads wait. Borrows clock.
class HttpUpstream final : public Upstream {
 public:
  HttpUpstream(http::ClientOptions options, Clock& clock);
  ~HttpUpstream() override;

  Answer Call(const UpstreamCall& call) override;
  void Shutdown() override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace crossover::router
