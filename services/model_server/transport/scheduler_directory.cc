#include "services/model_server/transport/scheduler_directory.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/json/digest.h"
#include "common/rpc/channel.h"
#include "common/status/absl_view.h"
#include "common/status/status_macros.h"
#include "crossover/scheduler/v1/model_service.grpc.pb.h"

namespace crossover::inference {
namespace {

namespace pb = ::crossover::scheduler::v1;

// A name as a string of a filter. Names have neither quotes nor backslashes, so one that has is
// nobody's.
std::string Quoted(std::string_view text) { return absl::StrCat("\"", ToAbsl(text), "\""); }

DirectoryEntry ToEntry(const pb::ModelVersion& version) {
  DirectoryEntry entry{.digest = version.digest(),
                       .is_base = version.kind() == pb::ModelVersion::BASE,
                       .base_digest = version.base_digest()};
  if (!version.alias().empty()) entry.aliases.push_back(version.alias());
  return entry;
}

class SchedulerDirectory final : public ModelDirectory {
 public:
  SchedulerDirectory(std::shared_ptr<grpc::Channel> channel, std::string project)
      : stub_(pb::ModelService::NewStub(std::move(channel))), project_(std::move(project)) {}

  absl::StatusOr<std::optional<DirectoryEntry>> Find(std::string_view name) override {
    if (name.find_first_of("\"\\") != std::string_view::npos)
      return std::optional<DirectoryEntry>();
    const char* field = IsDigest(name) ? "digest" : "alias";
    ASSIGN_OR_RETURN(const auto entries, List(absl::StrCat(field, " = ", Quoted(name))));
    return entries.empty() ? std::optional<DirectoryEntry>() : std::optional(entries.front());
  }

  absl::StatusOr<std::vector<DirectoryEntry>> Bases() override { return List("kind = BASE"); }

 private:
  absl::StatusOr<std::vector<DirectoryEntry>> List(const std::string& filter) {
    pb::ListModelVersionsRequest request;
    request.set_parent(project_ + "/models/-");
    request.set_filter(filter);
    ASSIGN_OR_RETURN(const pb::ListModelVersionsResponse response,
                     rpc::Invoke(*stub_, &pb::ModelService::Stub::ListModelVersions, request,
                                 {.timeout = absl::Seconds(5), .idempotent = true}));
    std::vector<DirectoryEntry> entries;
    for (const pb::ModelVersion& version : response.model_versions()) {
      const bool usable =
          version.kind() == pb::ModelVersion::BASE || version.kind() == pb::ModelVersion::ADAPTER;
      if (usable && version.state() == pb::ModelVersion::READY) entries.push_back(ToEntry(version));
    }
    return entries;
  }

  std::unique_ptr<pb::ModelService::Stub> stub_;
  const std::string project_;
};

}  // namespace

std::unique_ptr<ModelDirectory> NewSchedulerDirectory(std::shared_ptr<grpc::Channel> channel,
                                                      std::string project) {
  return std::make_unique<SchedulerDirectory>(std::move(channel), std::move(project));
}

}  // namespace crossover::inference
