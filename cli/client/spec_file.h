// YAML (and so JSON) files and `field=value` arguments as messages.
//
// Keys are the protos' field names. What people write is taken where a proto wants something
// stiffer:
//   durations   14d, 1h30m, 2.8s, 600ms         money    0.024 USD, or a number (USD)
//   times       2026-10-08                      enums    high, HIGH, fine-tune
//   JSON texts  a schema or arguments as YAML   lists    a single value
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "google/protobuf/message.h"

namespace crossover::cli {

// Merges the file into `message`. CLI_USAGE names file, line and field, and for an unknown field
// the nearest one.
absl::Status ReadSpecFile(const std::string& path, google::protobuf::Message* message);

// The same for text; `origin` is what errors call it.
absl::Status ReadSpecText(std::string_view text, const std::string& origin,
                          google::protobuf::Message* message);

// Each of `assignments` is `path.to.field=value`, the value in YAML: `adapter.r=32`,
// `adapter.targets=[q_proj, v_proj]`.
absl::Status ApplyAssignments(const std::vector<std::string>& assignments,
                              google::protobuf::Message* message);

}  // namespace crossover::cli
