// /v1/files, /v1/uploads and /v1/fine_tuning/jobs on an HTTP server, as OpenAI's SDKs call them.
#pragma once

#include <string>

#include "common/http/server.h"
#include "services/shadow_router/edge/door.h"
#include "services/shadow_router/tuning/backend.h"

namespace crossover::router {

struct TuningRoutesOptions {
  std::string project = "projects/default";  // of callers that belong to none
  size_t max_file_bytes = size_t{512} << 20;
  absl::Duration create_timeout = absl::Minutes(9);  // below the ten minutes that SDKs wait
};

// What the routes share. Outlives the server.
struct TuningRoutes {
  TuningRoutes(TuningRoutesOptions options, Door& door, TuningBackend& backend)
      : options(std::move(options)), door(door), backend(backend) {}

  const TuningRoutesOptions options;
  Door& door;
  TuningBackend& backend;
};

// Adds the routes. Before Server::Start.
void AddTuningRoutes(http::Server& server, TuningRoutes& routes);

// Its parts.
void AddFileRoutes(http::Server& server, TuningRoutes& routes);
void AddUploadRoutes(http::Server& server, TuningRoutes& routes);
void AddJobRoutes(http::Server& server, TuningRoutes& routes);

}  // namespace crossover::router
