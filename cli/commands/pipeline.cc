// crossover pipeline: curation, training, evaluation and export as one thing that goes on where it
// failed.
#include <memory>
#include <ostream>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "cli/client/names.h"
#include "cli/client/spec_file.h"
#include "cli/client/watch.h"
#include "cli/commands/command.h"
#include "cli/commands/commands.h"
#include "cli/output/error.h"
#include "cli/output/format.h"
#include "cli/output/table.h"
#include "cli/output/words.h"
#include "common/status/error.h"
#include "crossover/scheduler/v1/pipeline_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace scheduler = ::crossover::scheduler::v1;
using PipelineStub = scheduler::PipelineService::Stub;

struct PipelineOptions {
  std::string pipeline;
  std::string file;
  std::string state;
  int limit = 50;
  bool watch = false;
  bool check = false;
};

std::string StateWord(scheduler::Pipeline::State state) {
  return EnumWord(scheduler::Pipeline::State_Name(state));
}

int StepsDone(const scheduler::Pipeline& pipeline) {
  int done = 0;
  for (const auto& step : pipeline.steps()) {
    done += step.state() == scheduler::Pipeline::SUCCEEDED ? 1 : 0;
  }
  return done;
}

void PrintPipeline(Context& context, const scheduler::Pipeline& pipeline) {
  Details details;
  details.Add("pipeline", pipeline.name());
  details.Add("state", StateWord(pipeline.state()));
  context.terminal().out << details.Render(context.terminal());
  Table table({{"STEP"}, {"KIND"}, {"STATE"}, {"MADE"}, {"OUTPUT"}, {"WHY", Align::kLeft, true}});
  for (const auto& step : pipeline.steps()) {
    table.AddRow({step.id(), EnumWord(scheduler::Pipeline::StepKind_Name(step.kind())),
                  StateWord(step.state()), ShortName(step.created()), ShortName(step.output()),
                  PlainWords(step.error())});
  }
  context.terminal().out << table.Render(context.terminal());
}

// What --check says of a pipeline that may be created.
void PrintChecked(Context& context, const scheduler::Pipeline& pipeline, const std::string& file) {
  context.terminal().out << "checked only, nothing was created or started: "
                         << pipeline.steps_size()
                         << (pipeline.steps_size() == 1 ? " step is" : " steps are")
                         << " right\nnext: crossover pipeline create " << file << "\n";
}

absl::StatusOr<scheduler::Pipeline> GetPipeline(Context& context, const std::string& name) {
  auto stub = scheduler::PipelineService::NewStub(context.Channel());
  scheduler::GetPipelineRequest request;
  request.set_name(name);
  return context.Call(stub, &PipelineStub::GetPipeline, request, true);
}

absl::Status CreatePipeline(Context& context, const PipelineOptions& options) {
  auto stub = scheduler::PipelineService::NewStub(context.Channel());
  scheduler::CreatePipelineRequest request;
  request.set_parent(context.Project());
  request.set_request_id(context.RequestId());
  request.set_validate_only(options.check);
  RETURN_IF_ERROR(ReadSpecFile(options.file, request.mutable_pipeline()));
  ASSIGN_OR_RETURN(const scheduler::Pipeline pipeline,
                   context.Call(stub, &PipelineStub::CreatePipeline, request, true));
  if (context.PrintedJson(pipeline)) return absl::OkStatus();
  if (options.check) {
    PrintChecked(context, pipeline, options.file);
  } else {
    PrintPipeline(context, pipeline);
  }
  return absl::OkStatus();
}

// Says which step runs, once what it makes is known, until the pipeline has ended.
absl::StatusOr<scheduler::Pipeline> FollowPipeline(Context& context, const std::string& name) {
  auto stub = scheduler::PipelineService::NewStub(context.Channel());
  scheduler::WatchPipelineRequest request;
  request.set_name(name);
  const auto open = [&](grpc::ClientContext* call, const std::string& token) {
    request.set_resume_token(token);
    return stub->WatchPipeline(call, request);
  };
  scheduler::Pipeline pipeline;
  std::string told;
  const auto tell = [&](const scheduler::WatchPipelineResponse& item) {
    pipeline = item.pipeline();
    for (const auto& step : pipeline.steps()) {
      const bool runs = step.state() == scheduler::Pipeline::RUNNING && !step.created().empty();
      if (!runs || step.id() == told) continue;
      told = step.id();
      context.terminal().err << "step " << told << " runs: " << step.created() << std::endl;
    }
    return Watching::kGoOn;
  };
  const absl::Status status = Watch<scheduler::WatchPipelineResponse>(context, open, tell);
  if (HasReason(status, kInterrupted)) {
    const std::string id(IdOf(name));
    context.terminal().err << "Detached; the pipeline goes on.\n  come back   crossover pipeline "
                              "status "
                           << id << " --watch\n  stop it     crossover pipeline cancel " << id
                           << "\n";
  }
  RETURN_IF_ERROR(status);
  return pipeline;
}

// Its state; with --watch, once it has ended.
absl::Status ShowPipeline(Context& context, const PipelineOptions& options) {
  ASSIGN_OR_RETURN(const std::string name, FullName(context, "pipelines", options.pipeline));
  ASSIGN_OR_RETURN(const scheduler::Pipeline pipeline,
                   options.watch ? FollowPipeline(context, name) : GetPipeline(context, name));
  if (!context.PrintedJson(pipeline)) PrintPipeline(context, pipeline);
  if (!options.watch || pipeline.state() == scheduler::Pipeline::SUCCEEDED) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, kOutcome,
               absl::StrCat("the pipeline is ", StateWord(pipeline.state()),
                            "; `crossover pipeline resume ", std::string(IdOf(name)), "` goes on"));
}

absl::Status ListPipelines(Context& context, const PipelineOptions& options) {
  auto stub = scheduler::PipelineService::NewStub(context.Channel());
  scheduler::ListPipelinesRequest request;
  request.set_parent(context.Project());
  if (!options.state.empty()) {
    request.set_filter("state = " + absl::AsciiStrToUpper(options.state));
  }
  ASSIGN_OR_RETURN(const auto list,
                   context.ListAll(
                       stub, &PipelineStub::ListPipelines, request,
                       [](auto& page) { return page.mutable_pipelines(); }, options.limit));
  if (context.PrintedJson(list)) return absl::OkStatus();
  Table table({{"PIPELINE"}, {"STATE"}, {"STEPS", Align::kRight}, {"CREATED"}});
  for (const scheduler::Pipeline& pipeline : list.pipelines()) {
    table.AddRow({std::string(IdOf(pipeline.name())), StateWord(pipeline.state()),
                  absl::StrCat(StepsDone(pipeline), "/", pipeline.steps_size()),
                  Ago(pipeline.create_time(), context.Now())});
  }
  context.terminal().out << (table.empty() ? "no pipelines\n" : table.Render(context.terminal()));
  return absl::OkStatus();
}

template <typename Request>
absl::Status PipelineVerb(Context& context, const PipelineOptions& options,
                          grpc::Status (PipelineStub::*method)(grpc::ClientContext*, const Request&,
                                                               scheduler::Pipeline*)) {
  auto stub = scheduler::PipelineService::NewStub(context.Channel());
  Request request;
  ASSIGN_OR_RETURN(*request.mutable_name(), FullName(context, "pipelines", options.pipeline));
  ASSIGN_OR_RETURN(const scheduler::Pipeline pipeline, context.Call(stub, method, request, true));
  if (!context.PrintedJson(pipeline)) PrintPipeline(context, pipeline);
  return absl::OkStatus();
}

}  // namespace

void AddPipeline(CLI::App& app, Context& context) {
  auto options = std::make_shared<PipelineOptions>();
  CLI::App* group =
      AddGroup(app, "pipeline", "Steps that run one after another and go on where one failed");
  CLI::App* create = AddCommand(*group, context, "create", "Create a pipeline and start it",
                                "  crossover pipeline create pipeline.yaml\n"
                                "  crossover pipeline create pipeline.yaml --check",
                                [&context, options] { return CreatePipeline(context, *options); });
  create->add_option("file", options->file, "YAML file with the fields of Pipeline")
      ->required()
      ->check(CLI::ExistingFile);
  create->add_flag("--check", options->check, "Only say what is wrong with it");
  CLI::App* list = AddCommand(*group, context, "list", "List pipelines, newest first", "",
                              [&context, options] { return ListPipelines(context, *options); });
  list->add_option("--state", options->state, "Only pipelines in this state");
  list->add_option("--limit", options->limit, "Most pipelines; 0 = all")->capture_default_str();
  const auto with_pipeline = [&](const std::string& name, const std::string& about,
                                 std::function<absl::Status()> run) {
    CLI::App* command = AddCommand(*group, context, name, about, "", std::move(run));
    command->add_option("pipeline", options->pipeline, "Id or name")->required();
    return command;
  };
  with_pipeline("status", "Show where a pipeline is", [&context, options] {
    return ShowPipeline(context, *options);
  })->add_flag("--watch", options->watch, "Until it has ended");
  with_pipeline("resume", "Go on at the step that failed", [&context, options] {
    return PipelineVerb(context, *options, &PipelineStub::ResumePipeline);
  });
  with_pipeline("cancel", "Cancel the running step and the rest", [&context, options] {
    return PipelineVerb(context, *options, &PipelineStub::CancelPipeline);
  });
}

}  // namespace crossover::cli
