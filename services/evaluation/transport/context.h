// What the four gRPC services of this room share.
#pragma once

#include "common/log/logger.h"
#include "common/metrics/registry.h"
#include "common/rpc/auth.h"
#include "common/time/clock.h"
#include "services/evaluation/domain/decisions.h"
#include "services/evaluation/domain/ladders.h"
#include "services/evaluation/domain/runs.h"
#include "services/evaluation/domain/store.h"
#include "services/evaluation/domain/suites.h"

namespace crossover::evaluation {

// References are borrowed; all outlive the services.
struct ServiceContext {
  Store& store;
  Suites& suites;
  Runs& runs;
  Ladders& ladders;
  Decisions& decisions;
  Clock& clock;
  Logger& logger;
  metrics::Registry& metrics;
  rpc::Authenticator* authenticator = nullptr;
};

}  // namespace crossover::evaluation
