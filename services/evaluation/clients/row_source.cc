#include "services/evaluation/clients/row_source.h"

#include <unistd.h>
#include <atomic>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/dataset/shard.h"
#include "common/rpc/channel.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "crossover/curation/v1/dataset_service.grpc.pb.h"

namespace crossover::evaluation {
namespace {

namespace curation_pb = ::crossover::curation::v1;

class HouseRows final : public RowSource {
 public:
  HouseRows(const Channels& channels, BlobStore& blobs, std::filesystem::path scratch)
      : stub_(curation_pb::DatasetService::NewStub(channels.curation)),
        api_key_(channels.api_key),
        blobs_(blobs),
        scratch_(std::move(scratch)) {}

  absl::StatusOr<std::vector<dataset::Row>> Rows(const std::string& dataset_version,
                                                 const std::string& split) override {
    curation_pb::GetDatasetVersionRequest request;
    request.set_name(dataset_version);
    ASSIGN_OR_RETURN(curation_pb::DatasetVersion version,
                     rpc::Invoke(*stub_, &curation_pb::DatasetService::Stub::GetDatasetVersion,
                                 request, {.idempotent = true, .api_key = api_key_}));
    std::error_code ignored;
    std::filesystem::create_directories(scratch_,
                                        ignored);  // Materialise says what is wrong if this fails
    std::filesystem::path folder = scratch_ / absl::StrCat("suite-", getpid(), "-", next_++);
    absl::Cleanup remove = [&] { std::filesystem::remove_all(folder, ignored); };
    RETURN_IF_ERROR(blobs_.Materialise(version.artifact_digest(), folder));
    return dataset::ReadRows(folder, split);
  }

 private:
  std::unique_ptr<curation_pb::DatasetService::Stub> stub_;
  std::string api_key_;
  BlobStore& blobs_;
  std::filesystem::path scratch_;
  std::atomic<int64_t> next_ = 0;
};

}  // namespace

std::unique_ptr<RowSource> NewRowSource(const Channels& channels, BlobStore& blobs,
                                        std::filesystem::path scratch) {
  return std::make_unique<HouseRows>(channels, blobs, std::move(scratch));
}

}  // namespace crossover::evaluation
