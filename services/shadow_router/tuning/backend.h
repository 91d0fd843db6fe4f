// The services behind /v1/files, /v1/uploads and /v1/fine_tuning: data_curation keeps the files,
// the scheduler the jobs. What OpenAI's clients see of them is translated in this room and nowhere
// else.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/rpc/channel.h"
#include "common/time/clock.h"
#include "crossover/curation/v1/curation_service.grpc.pb.h"
#include "crossover/curation/v1/dataset_service.grpc.pb.h"
#include "crossover/curation/v1/file_service.grpc.pb.h"
#include "crossover/scheduler/v1/job_service.grpc.pb.h"
#include "crossover/scheduler/v1/model_service.grpc.pb.h"

namespace crossover::router {

namespace curation_pb = ::crossover::curation::v1;
namespace scheduler_pb = ::crossover::scheduler::v1;

// Thread-safe. Borrows the clock. Calls are made for the project of the RequestContext.
struct TuningBackend {
  TuningBackend(const std::shared_ptr<grpc::Channel>& curation,
                const std::shared_ptr<grpc::Channel>& scheduler, Clock& clock)
      : files(curation_pb::FileService::NewStub(curation)),
        datasets(curation_pb::DatasetService::NewStub(curation)),
        runs(curation_pb::CurationService::NewStub(curation)),
        jobs(scheduler_pb::JobService::NewStub(scheduler)),
        models(scheduler_pb::ModelService::NewStub(scheduler)),
        clock(clock) {}

  const std::unique_ptr<curation_pb::FileService::Stub> files;
  const std::unique_ptr<curation_pb::DatasetService::Stub> datasets;
  const std::unique_ptr<curation_pb::CurationService::Stub> runs;
  const std::unique_ptr<scheduler_pb::JobService::Stub> jobs;
  const std::unique_ptr<scheduler_pb::ModelService::Stub> models;
  Clock& clock;
};

// Labels that this room keeps for itself; they are no metadata and do not count as labels.
inline constexpr char kTrainingFileLabel[] = "crossover.dev/training-file";
inline constexpr char kValidationFileLabel[] = "crossover.dev/validation-file";
inline constexpr char kUploadLabel[] = "crossover.dev/upload";             // of a part: its upload
inline constexpr char kUploadBytesLabel[] = "crossover.dev/upload-bytes";  // of an upload: its size
inline constexpr char kReservedLabels[] = "crossover.dev/";

// Calls that only look, and those whose repeat does no harm.
inline rpc::CallOptions Repeatable() { return {.timeout = absl::Seconds(30), .idempotent = true}; }

}  // namespace crossover::router
