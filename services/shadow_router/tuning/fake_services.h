// data_curation and the scheduler as these tests need them: files in memory, a run that ends as it
// is told, one job.
#pragma once

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/context/request_context.h"
#include "common/id/random.h"
#include "common/id/uuid7.h"
#include "common/rpc/error_mapper.h"
#include "common/status/error.h"
#include "services/shadow_router/tuning/backend.h"

namespace crossover::router {

inline grpc::Status Missing(const std::string& name) {
  return rpc::ToGrpc(Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND", "no " + name));
}

class FakeFiles final : public curation_pb::FileService::Service {
 public:
  struct Entry {
    curation_pb::File file;
    std::string bytes;
    std::vector<curation_pb::Problem> problems;
  };
  std::map<std::string, Entry> entries;  // by name
  // What validation finds in the next file that is finished.
  curation_pb::File::Format format = curation_pb::File::CHAT_JSONL;
  std::vector<curation_pb::Problem> next_problems;
  int64_t row_count = 20;
  std::string next_reason;
  // OK, or what the call answers; an upload answers it after it has stored the file.
  grpc::Status uploads, deletions, listing_problems;

  grpc::Status CreateFile(grpc::ServerContext*, const curation_pb::CreateFileRequest* request,
                          curation_pb::File* response) override {
    Entry entry;
    entry.file = request->file();
    entry.file.set_name(request->parent() + "/files/" + ids_.NextId());
    entry.file.mutable_create_time()->set_seconds(1000);
    entry.file.set_state(curation_pb::File::UPLOADING);
    *response = entry.file;
    entries[entry.file.name()] = entry;
    return grpc::Status::OK;
  }
  grpc::Status UploadFile(grpc::ServerContext*,
                          grpc::ServerReader<curation_pb::UploadFileRequest>* reader,
                          curation_pb::File* response) override {
    curation_pb::UploadFileRequest piece;
    Entry* entry = nullptr;
    while (reader->Read(&piece)) {
      if (!piece.name().empty()) entry = &entries.at(piece.name());
      entry->bytes += piece.data();
      if (!piece.finish()) continue;
      entry->file.set_state(curation_pb::File::READY);
      entry->file.set_format(format);
      entry->file.set_row_count(row_count);
      entry->file.set_state_reason(next_reason);
      entry->problems = next_problems;
      entry->file.set_problem_count(static_cast<int64_t>(next_problems.size()));
      entry->file.set_size_bytes(static_cast<int64_t>(entry->bytes.size()));
    }
    *response = entry->file;
    return uploads;
  }
  grpc::Status DownloadFile(
      grpc::ServerContext*, const curation_pb::DownloadFileRequest* request,
      grpc::ServerWriter<curation_pb::DownloadFileResponse>* writer) override {
    const auto found = entries.find(request->name());
    if (found == entries.end()) return Missing(request->name());
    for (const char c : found->second.bytes) {  // in the smallest pieces
      curation_pb::DownloadFileResponse piece;
      piece.set_data(&c, 1);
      writer->Write(piece);
    }
    return grpc::Status::OK;
  }
  grpc::Status GetFile(grpc::ServerContext*, const curation_pb::GetFileRequest* request,
                       curation_pb::File* response) override {
    const auto found = entries.find(request->name());
    if (found == entries.end()) return Missing(request->name());
    *response = found->second.file;
    return grpc::Status::OK;
  }
  grpc::Status ListFiles(grpc::ServerContext*, const curation_pb::ListFilesRequest*,
                         curation_pb::ListFilesResponse* response) override {
    for (auto it = entries.rbegin(); it != entries.rend(); ++it) {
      *response->add_files() = it->second.file;
    }
    return grpc::Status::OK;
  }
  grpc::Status DeleteFile(grpc::ServerContext*, const curation_pb::DeleteFileRequest* request,
                          google::protobuf::Empty*) override {
    if (!deletions.ok()) return deletions;
    return entries.erase(request->name()) == 1 ? grpc::Status::OK : Missing(request->name());
  }
  grpc::Status ListProblems(grpc::ServerContext*, const curation_pb::ListProblemsRequest* request,
                            curation_pb::ListProblemsResponse* response) override {
    if (!listing_problems.ok()) return listing_problems;
    constexpr size_t kPage = 2;
    const auto& problems = entries.at(request->parent()).problems;
    const size_t begin = request->page_token().empty() ? 0 : std::stoul(request->page_token());
    const size_t end = std::min(problems.size(), begin + kPage);
    for (size_t i = begin; i < end; ++i) *response->add_problems() = problems[i];
    if (end < problems.size()) response->set_next_page_token(std::to_string(end));
    return grpc::Status::OK;
  }

 private:
  FakeRandom random_;
  UuidGenerator ids_{SystemClock(), random_};
};

class FakeDatasets final : public curation_pb::DatasetService::Service {
 public:
  bool exists = false;
  std::vector<curation_pb::Row> rows;

  grpc::Status GetDataset(grpc::ServerContext*, const curation_pb::GetDatasetRequest* request,
                          curation_pb::Dataset*) override {
    return exists ? grpc::Status::OK : Missing(request->name());
  }
  grpc::Status CreateDataset(grpc::ServerContext*, const curation_pb::CreateDatasetRequest*,
                             curation_pb::Dataset*) override {
    exists = true;
    return grpc::Status::OK;
  }
  grpc::Status ListRows(grpc::ServerContext*, const curation_pb::ListRowsRequest*,
                        curation_pb::ListRowsResponse* response) override {
    for (const auto& row : rows) *response->add_rows() = row;
    return grpc::Status::OK;
  }
  grpc::Status SealDatasetVersion(grpc::ServerContext*,
                                  const curation_pb::SealDatasetVersionRequest* request,
                                  curation_pb::DatasetVersion* response) override {
    response->set_name(request->parent() + "/versions/sha256:1");
    return grpc::Status::OK;
  }
};

class FakeCurationRuns final : public curation_pb::CurationService::Service {
 public:
  curation_pb::CurationRun end;  // what GetCurationRun answers
  curation_pb::CreateCurationRunRequest created;

  FakeCurationRuns() { end.set_state(curation_pb::CurationRun::SUCCEEDED); }
  grpc::Status CreateCurationRun(grpc::ServerContext*,
                                 const curation_pb::CreateCurationRunRequest* request,
                                 curation_pb::CurationRun* response) override {
    created = *request;
    response->set_name(request->parent() + "/runs/r");
    response->set_state(curation_pb::CurationRun::QUEUED);
    return grpc::Status::OK;
  }
  grpc::Status GetCurationRun(grpc::ServerContext*,
                              const curation_pb::GetCurationRunRequest* request,
                              curation_pb::CurationRun* response) override {
    *response = end;
    response->set_name(request->name());
    return grpc::Status::OK;
  }
};

class FakeTuningJobs final : public scheduler_pb::JobService::Service {
 public:
  static constexpr char kName[] = "projects/default/jobs/06bq3f00000000000000000000";
  scheduler_pb::Job job;  // the only one, once it is created
  scheduler_pb::CreateJobRequest created;
  grpc::Status refuse = grpc::Status::OK;
  std::vector<scheduler_pb::MetricPoint> points;
  std::vector<scheduler_pb::Checkpoint> checkpoints;

  grpc::Status CreateJob(grpc::ServerContext*, const scheduler_pb::CreateJobRequest* request,
                         scheduler_pb::Job* response) override {
    if (!refuse.ok()) return refuse;
    created = *request;
    job = request->job();
    job.set_name(kName);
    job.set_state(scheduler_pb::Job::QUEUED);
    *response = job;
    return grpc::Status::OK;
  }
  grpc::Status GetJob(grpc::ServerContext*, const scheduler_pb::GetJobRequest* request,
                      scheduler_pb::Job* response) override {
    if (request->name() != job.name()) return Missing(request->name());
    *response = job;
    return grpc::Status::OK;
  }
  grpc::Status ListJobs(grpc::ServerContext*, const scheduler_pb::ListJobsRequest*,
                        scheduler_pb::ListJobsResponse* response) override {
    *response->add_jobs() = job;
    return grpc::Status::OK;
  }
  grpc::Status PauseJob(grpc::ServerContext*, const scheduler_pb::PauseJobRequest*,
                        scheduler_pb::Job* response) override {
    return MoveTo(scheduler_pb::Job::PAUSED, response);
  }
  grpc::Status ResumeJob(grpc::ServerContext*, const scheduler_pb::ResumeJobRequest*,
                         scheduler_pb::Job* response) override {
    return MoveTo(scheduler_pb::Job::QUEUED, response);
  }
  grpc::Status CancelJob(grpc::ServerContext*, const scheduler_pb::CancelJobRequest*,
                         scheduler_pb::Job* response) override {
    return MoveTo(scheduler_pb::Job::CANCELLED, response);
  }
  grpc::Status ListJobEvents(grpc::ServerContext*, const scheduler_pb::ListJobEventsRequest*,
                             scheduler_pb::ListJobEventsResponse* response) override {
    response->add_events()->set_message("created");
    return grpc::Status::OK;
  }
  grpc::Status ListMetricPoints(grpc::ServerContext*, const scheduler_pb::ListMetricPointsRequest*,
                                scheduler_pb::ListMetricPointsResponse* response) override {
    for (const auto& point : points) *response->add_points() = point;
    return grpc::Status::OK;
  }
  grpc::Status ListCheckpoints(grpc::ServerContext*, const scheduler_pb::ListCheckpointsRequest*,
                               scheduler_pb::ListCheckpointsResponse* response) override {
    for (const auto& checkpoint : checkpoints) *response->add_checkpoints() = checkpoint;
    return grpc::Status::OK;
  }
  grpc::Status GetCheckpoint(grpc::ServerContext*,
                             const scheduler_pb::GetCheckpointRequest* request,
                             scheduler_pb::Checkpoint* response) override {
    for (const auto& checkpoint : checkpoints) {
      if (absl::StrCat(kName, "/checkpoints/", checkpoint.step()) != request->name()) continue;
      *response = checkpoint;
      return grpc::Status::OK;
    }
    return Missing(request->name());
  }

 private:
  grpc::Status MoveTo(scheduler_pb::Job::State state, scheduler_pb::Job* response) {
    job.set_state(state);
    *response = job;
    return grpc::Status::OK;
  }
};

class FakeTuningModels final : public scheduler_pb::ModelService::Service {
 public:
  static constexpr char kAlias[] = "ft:smollm2:default:acme:00000000";
  bool has_adapter = true;
  int asked = 0;
  std::string deleted;

  grpc::Status GetModel(grpc::ServerContext*, const scheduler_pb::GetModelRequest* request,
                        scheduler_pb::Model* response) override {
    ++asked;
    if (request->name() != "projects/default/models/smollm2") return Missing(request->name());
    response->set_kind(scheduler_pb::ModelVersion::BASE);
    return grpc::Status::OK;
  }
  grpc::Status GetModelVersion(grpc::ServerContext*,
                               const scheduler_pb::GetModelVersionRequest* request,
                               scheduler_pb::ModelVersion* response) override {
    ++asked;
    if (!has_adapter ||
        request->name() != absl::StrCat("projects/default/models/-/versions/", kAlias)) {
      return Missing(request->name());
    }
    *response = Adapter();
    return grpc::Status::OK;
  }
  grpc::Status ListModelVersions(grpc::ServerContext*,
                                 const scheduler_pb::ListModelVersionsRequest*,
                                 scheduler_pb::ListModelVersionsResponse* response) override {
    if (has_adapter) *response->add_model_versions() = Adapter();
    scheduler_pb::ModelVersion& base = *response->add_model_versions();
    base.set_name("projects/default/models/smollm2/versions/sha256:base");
    base.set_kind(scheduler_pb::ModelVersion::BASE);
    return grpc::Status::OK;
  }
  grpc::Status DeleteModelVersion(grpc::ServerContext*,
                                  const scheduler_pb::DeleteModelVersionRequest* request,
                                  google::protobuf::Empty*) override {
    deleted = request->name();
    has_adapter = false;
    return grpc::Status::OK;
  }

 private:
  static scheduler_pb::ModelVersion Adapter() {
    scheduler_pb::ModelVersion version;
    version.set_name("projects/default/models/smollm2-acme/versions/sha256:ad");
    version.set_kind(scheduler_pb::ModelVersion::ADAPTER);
    version.set_alias(kAlias);
    version.set_digest("sha256:ad");
    version.set_base_digest("sha256:base");
    version.set_source_job(FakeTuningJobs::kName);
    return version;
  }
};

}  // namespace crossover::router
