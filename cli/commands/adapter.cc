// crossover adapter: the files of a tuned model.
#include <filesystem>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/client/names.h"
#include "cli/client/nearest.h"
#include "cli/client/transfer.h"
#include "cli/commands/command.h"
#include "cli/commands/commands.h"
#include "cli/commands/job_view.h"
#include "cli/output/error.h"
#include "cli/output/format.h"
#include "cli/output/table.h"
#include "common/status/error.h"
#include "crossover/scheduler/v1/model_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace scheduler = ::crossover::scheduler::v1;
using scheduler::ExportSpec;

struct AdapterOptions {
  std::string adapter;
  std::string format = "peft";
  std::string out;
};

// What the API calls it, and what the folder's name ends with.
struct Format {
  ExportSpec::Format value;
  const char* suffix;
};

const std::map<std::string, Format>& Formats() {
  static const auto* const kFormats = new std::map<std::string, Format>{
      {"peft", {ExportSpec::PEFT, ""}},
      {"gguf-f16", {ExportSpec::GGUF_F16, "-f16"}},
      {"gguf-bf16", {ExportSpec::GGUF_BF16, "-bf16"}},
      {"gguf-q8_0", {ExportSpec::GGUF_Q8_0, "-q8_0"}},
      {"gguf-q4_0", {ExportSpec::GGUF_Q4_0, "-q4_0"}},
      {"gguf-q4_k_m", {ExportSpec::GGUF_Q4_K_M, "-q4_k_m"}},
      {"gguf-q5_k_m", {ExportSpec::GGUF_Q5_K_M, "-q5_k_m"}},
      {"gguf-q6_k", {ExportSpec::GGUF_Q6_K, "-q6_k"}},
      {"gguf-adapter", {ExportSpec::GGUF_ADAPTER, "-lora"}},
      {"safetensors", {ExportSpec::SAFETENSORS, "-merged"}},
  };
  return *kFormats;
}

// A file's name from an alias such as ft:smollm2:default:support:06bq3f2a.
std::string FileStem(const std::string& adapter) {
  std::string stem(IdOf(adapter));
  for (char& c : stem) {
    if (c == ':' || c == '/') c = '-';
  }
  return stem;
}

std::string VersionName(const Context& context, const std::string& adapter) {
  if (adapter.rfind("projects/", 0) == 0) return adapter;
  return context.Project() + "/models/-/versions/" + adapter;
}

absl::StatusOr<scheduler::ListModelVersionsResponse> KnownAdapters(Context& context) {
  auto stub = scheduler::ModelService::NewStub(context.Channel());
  scheduler::ListModelVersionsRequest request;
  request.set_parent(context.Project() + "/models/-");
  request.set_filter("kind = ADAPTER");
  return context.ListAll(stub, &scheduler::ModelService::Stub::ListModelVersions, request,
                         [](auto& page) { return page.mutable_model_versions(); });
}

// The server's error; of an adapter that is not there with those that are.
absl::Status ExplainedExport(Context& context, const std::string& adapter,
                             const absl::Status& status) {
  if (!absl::IsNotFound(status)) return status;
  const auto list = KnownAdapters(context);
  if (!list.ok()) return status;
  std::vector<std::string> known;
  for (const auto& version : list->model_versions())
    known.push_back(version.alias().empty() ? version.digest() : version.alias());
  return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
               absl::StrCat("there is no adapter '", adapter, "'; ",
                            InsteadOf(IdOf(adapter), known, "crossover adapter list",
                                      "crossover tune DATASET --base MODEL")));
}

absl::Status Export(Context& context, const AdapterOptions& options) {
  const Format& format = Formats().at(options.format);
  auto stub = scheduler::ModelService::NewStub(context.Channel());
  scheduler::ExportModelRequest request;
  request.set_name(VersionName(context, options.adapter));
  request.set_format(format.value);
  request.set_request_id(context.RequestId());
  auto started = context.Call(stub, &scheduler::ModelService::Stub::ExportModel, request, true);
  if (!started.ok()) return ExplainedExport(context, options.adapter, started.status());
  scheduler::Job job = *std::move(started);
  if (!IsTerminal(job.state())) {
    const bool json = context.globals.json;
    context.globals.json = false;  // progress is for people; the result below is the JSON
    auto ended = FollowJob(context, job);
    context.globals.json = json;
    RETURN_IF_ERROR(ended.status());
    job = *std::move(ended);
  }
  RETURN_IF_ERROR(JobOutcome(job));
  const std::string stem = FileStem(options.adapter);
  const std::filesystem::path folder = options.out.empty()
                                           ? std::filesystem::path(stem + format.suffix)
                                           : std::filesystem::path(options.out);
  ASSIGN_OR_RETURN(const Downloaded done,
                   DownloadArtifact(context, job.outputs().artifact(), folder, stem + ".gguf"));
  if (context.PrintedJson(job)) return absl::OkStatus();
  context.terminal().out << absl::StrCat(folder.string(), "  ", done.files,
                                         done.files == 1 ? " file, " : " files, ",
                                         Bytes(done.bytes), ", ", job.outputs().artifact(), "\n");
  return absl::OkStatus();
}

absl::Status ListAdapters(Context& context) {
  ASSIGN_OR_RETURN(const auto list, KnownAdapters(context));
  if (context.PrintedJson(list)) return absl::OkStatus();
  Table table({{"ADAPTER", Align::kLeft, true},
               {"DIGEST"},
               {"BASE"},
               {"TASK"},
               {"SIZE", Align::kRight},
               {"JOB"},
               {"CREATED"}});
  for (const auto& version : list.model_versions()) {
    table.AddRow({version.alias(), ShortDigest(version.digest()),
                  ShortDigest(version.base_digest()), ShortName(version.task()),
                  Bytes(version.size_bytes()), ShortName(version.source_job()),
                  Ago(version.create_time(), context.Now())});
  }
  context.terminal().out << (table.empty() ? "no adapters yet; `crossover tune` trains one\n"
                                           : table.Render(context.terminal()));
  return absl::OkStatus();
}

}  // namespace

void AddAdapter(CLI::App& app, Context& context) {
  auto options = std::make_shared<AdapterOptions>();
  CLI::App* group = AddGroup(app, "adapter", "Trained adapters and their files");
  AddCommand(*group, context, "list", "List adapters", "",
             [&context] { return ListAdapters(context); });
  CLI::App* command = AddCommand(
      *group, context, "export", "Write an adapter, or base and adapter merged, to files",
      "  crossover adapter export ft:smollm2-135m-instruct:default:support:06bq3f2a\n"
      "  crossover adapter export sha256:48c2d8… --format gguf-q4_k_m --out models/support\n"
      "  (cd models/support && ollama create support -f Modelfile)\n"
      "Formats: peft (the adapter); gguf-f16, gguf-bf16, gguf-q8_0, gguf-q6_k, gguf-q5_k_m, "
      "gguf-q4_k_m, gguf-q4_0 (base and adapter merged, for llama.cpp and Ollama, with a "
      "Modelfile); gguf-adapter (the adapter alone, for llama.cpp's --lora and Ollama's ADAPTER); "
      "safetensors (merged, for transformers and vLLM).",
      [&context, options] { return Export(context, *options); });
  command->add_option("adapter", options->adapter, "Alias, digest or name of the adapter")
      ->required();
  std::vector<std::string> names;
  for (const auto& [name, format] : Formats()) names.push_back(name);
  command->add_option("--format", options->format, "Form of the files")
      ->check(CLI::IsMember(names))
      ->capture_default_str();
  command->add_option("--out", options->out,
                      "Folder to write to; default: one named after adapter and format");
}

}  // namespace crossover::cli
