#include "services/training_scheduler/domain/pipeline_watch.h"

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::scheduler {
namespace {

constexpr absl::Duration kPipelineTokenLife = absl::Hours(7 * 24);

// The state's update time and when it was told.
std::string FormatPipelineToken(int64_t seen_us, absl::Time now) {
  return absl::StrCat("p1-", seen_us, "-", absl::ToUnixSeconds(now));
}

absl::StatusOr<int64_t> ParsePipelineToken(const std::string& token, absl::Time now) {
  const std::vector<std::string> parts = absl::StrSplit(token, '-');
  int64_t seen_us = 0, issued = 0;
  if (parts.size() == 3 && parts[0] == "p1" && absl::SimpleAtoi(parts[1], &seen_us) &&
      absl::SimpleAtoi(parts[2], &issued) &&
      now - absl::FromUnixSeconds(issued) <= kPipelineTokenLife) {
    return seen_us;
  }
  return Error(absl::StatusCode::kOutOfRange, "RESUME_TOKEN_EXPIRED",
               "the resume_token is older than seven days or not one of WatchPipeline's; watch "
               "without a token");
}

// Nothing is under way, and nothing will be unless somebody resumes it.
bool HasEnded(const Pipeline& pipeline) { return !DueStep(pipeline).has_value(); }

}  // namespace

absl::Status PipelineWatchHub::Watch(const std::string& project, const std::string& pipeline,
                                     const std::string& resume_token,
                                     std::shared_ptr<PipelineSink> sink) {
  Watcher watcher{.project = project, .pipeline = pipeline, .seen_us = 0, .sink = std::move(sink)};
  if (!resume_token.empty()) {
    ASSIGN_OR_RETURN(watcher.seen_us, ParsePipelineToken(resume_token, clock_.Now()));
  }
  RETURN_IF_ERROR(store_.Get(project, pipeline).status());
  return watchers_.Add(std::move(watcher));
}

bool PipelineWatchHub::Serve(Watcher& watcher) {
  if (watcher.sink->Gone()) return false;
  const absl::StatusOr<Pipeline> pipeline = store_.Get(watcher.project, watcher.pipeline);
  // While the database is away the client need not know.
  if (absl::IsUnavailable(pipeline.status())) return true;
  if (!pipeline.ok()) {
    watcher.sink->End(pipeline.status());
    return false;
  }
  const int64_t updated_us = absl::ToUnixMicros(pipeline->update_time);
  if (updated_us != watcher.seen_us) {
    if (!watcher.sink->Send(*pipeline, FormatPipelineToken(updated_us, clock_.Now()))) return true;
    watcher.seen_us = updated_us;
  }
  if (!HasEnded(*pipeline)) return true;
  watcher.sink->End(absl::OkStatus());
  return false;
}

}  // namespace crossover::scheduler
