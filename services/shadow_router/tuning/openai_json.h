// Resources as OpenAI's fine-tuning API shows them, and the ids it gives them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/shadow_router/tuning/backend.h"

namespace crossover::router {

// "file-06b…" of a resource name, and the resource name of "file-06b…" in `project`. INVALID
// ids are NOT_FOUND with `param`: a client asked for something that cannot exist.
std::string FileIdOf(std::string_view name);
absl::StatusOr<std::string> FileNameOf(const std::string& project, std::string_view id,
                                       std::string_view param);
std::string JobIdOf(std::string_view name);  // ftjob-…
absl::StatusOr<std::string> JobNameOf(const std::string& project, std::string_view id,
                                      std::string_view param = "fine_tuning_job_id");
// "file-res06b…" of a job's metrics as CSV; the job's resource name if `id` is one.
std::string ResultFileIdOf(std::string_view job_name);
std::optional<std::string> JobOfResultFile(const std::string& project, std::string_view id);

// `wrong_line`: the first that cannot be read, in words; empty = there is none. The file is kept,
// but its status is that of one that no job takes.
nlohmann::json FileJson(const curation_pb::File& file, const std::string& wrong_line = "");
// Of the CSV that stands for a job's metrics.
nlohmann::json ResultFileJson(const scheduler_pb::Job& job, size_t bytes);
// `now`: the estimated finish counts from it, as the job's progress says what is left.
nlohmann::json JobJson(const scheduler_pb::Job& job, absl::Time now);
nlohmann::json CheckpointJson(const scheduler_pb::Checkpoint& checkpoint,
                              const scheduler_pb::Job& job);

// A job's events and metrics, newest first.
std::vector<nlohmann::json> EventsJson(const scheduler_pb::Job& job,
                                       const std::vector<scheduler_pb::JobEvent>& events,
                                       const std::vector<scheduler_pb::MetricPoint>& points);

// `step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy`; absent values are empty.
std::string MetricsCsv(const std::vector<scheduler_pb::MetricPoint>& points);

// True for jobs that OpenAI's API calls fine-tuning.
bool IsFineTuning(const scheduler_pb::Job& job);

// {"object": "list", "data", "has_more", "first_id", "last_id"} of what follows `after` (an id;
// empty = from the start), at most `limit`. NOT_FOUND with param "after" for an id not among them.
absl::StatusOr<nlohmann::json> ListJson(const std::vector<nlohmann::json>& all,
                                        const std::string& after, size_t limit);

}  // namespace crossover::router
