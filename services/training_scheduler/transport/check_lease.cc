#include "services/training_scheduler/transport/check_lease.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status/error.h"

namespace crossover::scheduler {
namespace {

class FieldChecker {
 public:
  void AtLeast(std::string field, int64_t value, int64_t least) {
    if (value >= least) return;
    Add(std::move(field), absl::StrCat("is ", value, "; must be at least ", least));
  }
  void Add(std::string field, std::string description) {
    violations_.push_back({std::move(field), std::move(description)});
  }

  absl::Status Result() {
    if (violations_.empty()) return absl::OkStatus();
    return Error(absl::StatusCode::kInvalidArgument,
                 absl::StrCat(violations_[0].field, " ", violations_[0].description),
                 {.reason = "FIELD_INVALID", .metadata = {}, .violations = violations_});
  }

 private:
  std::vector<FieldViolation> violations_;
};

constexpr int kMostBases = 16;
constexpr size_t kLongestDigest = 128;

void CheckBases(const v1::Capabilities& capabilities, FieldChecker& check) {
  if (capabilities.base_digests_size() > kMostBases) {
    check.Add("capabilities.base_digests", absl::StrCat("are ", capabilities.base_digests_size(),
                                                        "; at most ", kMostBases, " may be said"));
  }
  for (const std::string& digest : capabilities.base_digests()) {
    if (digest.size() <= kLongestDigest && !absl::StrContains(digest, ',')) continue;
    check.Add("capabilities.base_digests",
              absl::StrCat("hold '", digest.substr(0, kLongestDigest), "', which is no digest"));
  }
}

void CheckComputeTypes(const v1::Capabilities& capabilities, FieldChecker& check) {
  for (const std::string& type : capabilities.compute_types()) {
    if (type == "bfloat16" || type == "float32") continue;
    check.Add("capabilities.compute_types",
              absl::StrCat("hold '", type, "'; must be bfloat16 or float32"));
  }
}

void CheckReport(const std::string& prefix, const v1::HeartbeatRequest& report,
                 FieldChecker& check) {
  check.AtLeast(absl::StrCat(prefix, "worker_seq"), report.worker_seq(), 0);
  check.AtLeast(absl::StrCat(prefix, "peak_memory_bytes"), report.peak_memory_bytes(), 0);
  check.AtLeast(absl::StrCat(prefix, "progress.step"), report.progress().step(), 0);
  check.AtLeast(absl::StrCat(prefix, "progress.steps"), report.progress().steps(), 0);
  check.AtLeast(absl::StrCat(prefix, "progress.tokens"), report.progress().tokens(), 0);
  int64_t before = 0;
  for (int i = 0; i < report.events_size(); ++i) {
    // One counter for all that a worker says: events rise, and the beat comes after them.
    const int64_t seq = report.events(i).worker_seq();
    const std::string field = absl::StrCat(prefix, "events[", i, "].worker_seq");
    check.AtLeast(field, seq, before + 1);
    if (report.worker_seq() > 0 && seq >= report.worker_seq()) {
      check.Add(field, absl::StrCat("is ", seq, "; must be less than the beat's worker_seq, ",
                                    report.worker_seq()));
    }
    before = seq;
  }
  for (int i = 0; i < report.metrics_size(); ++i) {
    check.AtLeast(absl::StrCat(prefix, "metrics[", i, "].step"), report.metrics(i).step(), 0);
  }
}

}  // namespace

absl::Status CheckRequest(const v1::LeaseJobRequest& request) {
  FieldChecker check;
  check.AtLeast("wait.seconds", request.wait().seconds(), 0);
  check.AtLeast("capabilities.gang", request.capabilities().gang(), 0);
  CheckBases(request.capabilities(), check);
  CheckComputeTypes(request.capabilities(), check);
  for (int i = 0; i < request.capabilities().devices_size(); ++i) {
    const auto& device = request.capabilities().devices(i);
    const std::string field = absl::StrCat("capabilities.devices[", i, "]");
    check.AtLeast(absl::StrCat(field, ".memory_bytes"), device.memory_bytes(), 0);
    check.AtLeast(absl::StrCat(field, ".units"), device.units(), 0);
  }
  return check.Result();
}

absl::Status CheckRequest(const v1::HeartbeatRequest& request) {
  FieldChecker check;
  CheckReport("", request, check);
  return check.Result();
}

absl::Status CheckRequest(const v1::RecordCheckpointRequest& request) {
  FieldChecker check;
  check.AtLeast("step", request.step(), 1);
  if (request.digest().empty()) check.Add("digest", "is empty; must name the checkpoint's folder");
  return check.Result();
}

absl::Status CheckRequest(const v1::CompleteJobRequest& request) {
  FieldChecker check;
  check.AtLeast("success.trained_tokens", request.success().trained_tokens(), 0);
  check.AtLeast("actual.tokens", request.actual().tokens(), 0);
  check.AtLeast("actual.peak_memory_bytes", request.actual().peak_memory_bytes(), 0);
  check.AtLeast("actual.seconds.seconds", request.actual().seconds().seconds(), 0);
  CheckReport("last_report.", request.last_report(), check);
  return check.Result();
}

}  // namespace crossover::scheduler
