#include "services/training_scheduler/testing/scheduler_fixture.h"

#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/rpc/channel.h"

namespace crossover::scheduler {
namespace {

template <typename T>
T Must(absl::StatusOr<T> value, const char* what) {
  if (value.ok()) return *std::move(value);
  std::fprintf(stderr, "scheduler fixture: %s: %s\n", what, value.status().ToString().c_str());
  std::abort();
}

}  // namespace

grpc::ServerUnaryReactor* FakeCuration::GetDatasetVersion(
    grpc::CallbackServerContext* context,
    const ::crossover::curation::v1::GetDatasetVersionRequest* request,
    ::crossover::curation::v1::DatasetVersion* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  std::lock_guard lock(mutex_);
  const auto found = versions_.find(request->name());
  if (found == versions_.end()) {
    reactor->Finish({grpc::StatusCode::NOT_FOUND, "no data set version " + request->name()});
    return reactor;
  }
  *response = found->second;
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

void FakeCuration::Add(const std::string& name, const std::string& artifact_digest,
                       int64_t train_rows, int64_t validation_rows) {
  ::crossover::curation::v1::DatasetVersion version;
  version.set_name(name);
  version.set_artifact_digest(artifact_digest);
  const auto add = [&](const char* split, int64_t rows) {
    auto* counts = version.add_counts();
    counts->set_split(split);
    counts->set_rows(rows);
  };
  add("train", train_rows);
  add("validation", validation_rows);
  std::lock_guard lock(mutex_);
  versions_[name] = version;
}

std::string BaseModelSql(const std::string& slug, const std::string& digest,
                         const std::string& project) {
  return absl::StrCat(
      "INSERT INTO scheduler.model (project, model) VALUES ('", project, "', '", slug, "');",
      "INSERT INTO scheduler.model_version (project, model, digest, kind, architecture, "
      "base_digest,"
      " tokenizer_digest, template_digest, parameters, bytes, hidden_size, context_length, "
      "source_job,"
      " dataset_version, task, licence, alias) VALUES ('",
      project, "', '", slug, "', '", digest,
      "', 'BASE', 'llama', '', 'sha256:tok', 'sha256:tpl', 1000, 1000, 576, 2048, '', '', '', "
      "'MIT', '",
      slug, "')");
}

SchedulerFixture::SchedulerFixture(Options options, rpc::Authenticator* authenticator,
                                   Logger* logger)
    : options_(std::move(options)),
      authenticator_(authenticator),
      database_({Module::RequiredMigrations()}),
      logger_(logger == nullptr ? kept_log_ : *logger),
      curation_(std::make_unique<FakeCuration>()) {
  blobs_ =
      Must(NewDirectoryBlobStore({.root = blob_root(), .sync = false}, SystemClock()), "blobs");
  curation_server_ = Must(
      rpc::Server::Start({.addresses = {"127.0.0.1:0"}}, {curation_.get()}, logger_), "curation");
  pool_ = database_.NewPool("scheduler");
  StartModule();
}

SchedulerFixture::~SchedulerFixture() {
  server_->Stop();
  curation_server_->Stop();
}

void SchedulerFixture::StartModule() {
  module_ = Must(Module::Create(options_, {.pool = *pool_,
                                           .blobs = *blobs_,
                                           .clock = SystemClock(),
                                           .random = SystemRandom(),
                                           .registry = registry_,
                                           .logger = logger_,
                                           .curation = curation_server_->InProcessChannel(),
                                           .authenticator = authenticator_}),
                 "module");
  server_ = Must(rpc::Server::Start({.addresses = {absl::StrCat("127.0.0.1:", port_)},
                                     .drain_timeout = absl::Seconds(5)},
                                    {module_.get()}, logger_),
                 "server");
  port_ = server_->port();
}

void SchedulerFixture::Restart() {
  server_->Stop();
  server_.reset();
  module_.reset();
  StartModule();
}

std::string SchedulerFixture::address() const { return absl::StrCat("127.0.0.1:", port_); }

std::shared_ptr<grpc::Channel> SchedulerFixture::channel() const {
  return rpc::NewChannel(address());
}

void SchedulerFixture::AddBase(const std::string& slug, const std::string& digest,
                               const std::string& project) {
  database_.Execute(BaseModelSql(slug, digest, project));
}

}  // namespace crossover::scheduler
