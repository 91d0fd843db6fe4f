// crossover ladder: prompts of rising effort, until one is good enough or more stops paying.
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/client/names.h"
#include "cli/client/spec_file.h"
#include "cli/client/system_argument.h"
#include "cli/client/watch.h"
#include "cli/commands/command.h"
#include "cli/commands/commands.h"
#include "cli/output/error.h"
#include "cli/output/format.h"
#include "cli/output/progress.h"
#include "cli/output/table.h"
#include "cli/output/words.h"
#include "common/status/error.h"
#include "crossover/evaluation/v1/ladder_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace evaluation = ::crossover::evaluation::v1;
using evaluation::Ladder;
using LadderStub = evaluation::LadderService::Stub;

struct LadderOptions {
  std::string task;
  std::string ladder;
  std::string dev;
  std::string test;
  std::string file;
  std::vector<std::string> rungs;
  std::vector<std::string> settings;
  bool climb_all = false;
  bool detach = false;
  bool list = false;
};

// `few-shot:prompt=support/few,model=smollm2-135m-instruct`.
absl::Status AddRung(Context& context, const std::string& text, Ladder& ladder) {
  const size_t colon = text.find(':');
  const size_t equals = text.find('=');
  if (colon == std::string::npos || equals < colon) {
    return UsageError(absl::StrCat(
        "'", text,
        "' is not KIND:SYSTEM, such as few-shot:prompt=support/few,model=smollm2-135m-instruct"));
  }
  Ladder::Rung& rung = *ladder.add_rungs();
  RETURN_IF_ERROR(ReadSpecText("kind: " + text.substr(0, colon), "--rung " + text, &rung));
  ASSIGN_OR_RETURN(*rung.mutable_system(), ReadSystem(context, text.substr(colon + 1)));
  return absl::OkStatus();
}

absl::StatusOr<Ladder> StartLadder(Context& context, const LadderOptions& options) {
  evaluation::CreateLadderRequest request;
  request.set_parent(context.Project());
  request.set_request_id(context.RequestId());
  Ladder& ladder = *request.mutable_ladder();
  if (!options.file.empty()) RETURN_IF_ERROR(ReadSpecFile(options.file, &ladder));
  ASSIGN_OR_RETURN(*ladder.mutable_task(), ExistingTaskName(context, options.task));
  for (const std::string& rung : options.rungs) RETURN_IF_ERROR(AddRung(context, rung, ladder));
  RETURN_IF_ERROR(ApplyAssignments(options.settings, &ladder));
  if (options.climb_all) ladder.set_climb_all(true);
  const std::string dev = options.dev.empty() ? ladder.dev_suite() : options.dev;
  if (dev.empty()) return UsageError("which rows measure the rungs? give --dev SUITE");
  ASSIGN_OR_RETURN(*ladder.mutable_dev_suite(), SuiteVersionName(context, dev));
  const std::string test = options.test.empty() ? ladder.test_suite() : options.test;
  if (!test.empty()) {
    ASSIGN_OR_RETURN(*ladder.mutable_test_suite(), SuiteVersionName(context, test));
  }
  if (ladder.rungs().empty()) return UsageError("the ladder has no rungs; give --rung or --file");
  auto stub = evaluation::LadderService::NewStub(context.Channel());
  return context.Call(stub, &LadderStub::CreateLadder, request, true);
}

void PrintLadder(Context& context, const Ladder& ladder) {
  std::ostream& out = context.terminal().out;
  out << ladder.name() << "\n\n";
  Table table({{""},
               {"RUNG"},
               {"SYSTEM", Align::kLeft, true},
               {"DEV"},
               {"GAIN"},
               {"FORMAT", Align::kRight},
               {"P50", Align::kRight},
               {"COST", Align::kRight},
               {"TEST"}});
  for (int i = 0; i < ladder.rungs_size(); ++i) {
    const Ladder::Rung& rung = ladder.rungs(i);
    table.AddRow(
        {i == ladder.chosen() && rung.has_dev() ? "*" : "",
         EnumWord(evaluation::Ladder::RungKind_Name(rung.kind())), SystemLabel(rung.system()),
         rung.has_dev() ? ShareInterval(rung.dev()) : rung.skipped_reason(),
         rung.has_gain() ? PointsInterval(rung.gain()) : "",
         rung.has_format_valid() ? Share(rung.format_valid().point()) : "",
         rung.has_latency_p50() ? Length(absl::Seconds(rung.latency_p50().point())) : "",
         Amount(rung.cost_per_request()), rung.has_test() ? ShareInterval(rung.test()) : ""});
  }
  out << table.Render(context.terminal()) << "\n";
  Details details;
  details.Add("outcome",
              EnumWord(Ladder::State_Name(ladder.state())) +
                  (ladder.state_reason().empty() ? "" : ": " + PlainWords(ladder.state_reason())));
  if (ladder.has_converged()) {
    details.Add(
        "converged",
        EnumWord(type::v1::Evidence::Status_Name(ladder.converged().status())) +
            (ladder.converged().explanation().empty() ? ""
                                                      : ": " + ladder.converged().explanation()));
    details.Add("next", ladder.converged().next_step());
  }
  out << details.Render(context.terminal());
}

// Ladders, newest first.
absl::Status ListLadders(Context& context) {
  auto stub = evaluation::LadderService::NewStub(context.Channel());
  evaluation::ListLaddersRequest request;
  request.set_parent(context.Project());
  ASSIGN_OR_RETURN(const auto list,
                   context.ListAll(stub, &LadderStub::ListLadders, request,
                                   [](auto& page) { return page.mutable_ladders(); }));
  if (context.PrintedJson(list)) return absl::OkStatus();
  Table table({{"LADDER"},
               {"TASK"},
               {"STATE"},
               {"RUNGS", Align::kRight},
               {"BEST", Align::kLeft, true},
               {"DEV"},
               {"CREATED"}});
  for (const Ladder& ladder : list.ladders()) {
    const bool chosen = ladder.chosen() >= 0 && ladder.chosen() < ladder.rungs_size() &&
                        ladder.rungs(ladder.chosen()).has_dev();
    const Ladder::Rung best = chosen ? ladder.rungs(ladder.chosen()) : Ladder::Rung();
    table.AddRow({std::string(IdOf(ladder.name())), ShortName(ladder.task()),
                  EnumWord(Ladder::State_Name(ladder.state())), Count(ladder.rungs_size()),
                  chosen ? SystemLabel(best.system()) : "", chosen ? ShareInterval(best.dev()) : "",
                  Ago(ladder.create_time(), context.Now())});
  }
  context.terminal().out << (table.empty() ? "no ladders yet\n" : table.Render(context.terminal()));
  return absl::OkStatus();
}

absl::Status RunLadder(Context& context, const LadderOptions& options) {
  if (options.list) return ListLadders(context);
  auto stub = evaluation::LadderService::NewStub(context.Channel());
  evaluation::GetLadderRequest get;
  if (!options.ladder.empty()) {
    ASSIGN_OR_RETURN(*get.mutable_name(), FullName(context, "ladders", options.ladder));
  } else {
    if (options.task.empty()) return UsageError("give a task, or --show LADDER");
    ASSIGN_OR_RETURN(const Ladder started, StartLadder(context, options));
    if (options.detach) {
      if (!context.PrintedJson(started)) context.terminal().out << started.name() << "\n";
      return absl::OkStatus();
    }
    get.set_name(started.name());
  }
  ProgressLine line(context.terminal(), context.world.clock);
  auto ladder = Poll<Ladder>(
      context, [&] { return context.Call(stub, &LadderStub::GetLadder, get, true); },
      [&](const Ladder& now) {
        if (now.state() != Ladder::RUNNING) return Watching::kStop;
        int measured = 0;
        for (const auto& rung : now.rungs()) measured += rung.has_dev() ? 1 : 0;
        const std::string next =
            measured < now.rungs_size()
                ? ", on " + EnumWord(evaluation::Ladder::RungKind_Name(now.rungs(measured).kind()))
                : "";
        line.Update(absl::StrCat("climbing: ", measured, "/", now.rungs_size(), " rungs", next));
        return Watching::kGoOn;
      });
  line.Finish();
  if (HasReason(ladder.status(), kInterrupted)) {
    context.terminal().err << "Detached; the climb goes on.\n  come back   crossover ladder --show "
                           << IdOf(get.name()) << "\n";
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(ladder.status());
  if (!context.PrintedJson(*ladder)) PrintLadder(context, *ladder);
  if (ladder->state() == Ladder::FAILED)
    return Error(absl::StatusCode::kFailedPrecondition, kOutcome, ladder->state_reason());
  return absl::OkStatus();
}

}  // namespace

void AddLadder(CLI::App& app, Context& context) {
  auto options = std::make_shared<LadderOptions>();
  CLI::App* command =
      AddCommand(app, context, "ladder",
                 "Measure prompts of rising effort until one meets the target or more stops paying",
                 "  crossover ladder support --dev support-dev --test support-test \\\n"
                 "      --rung system-prompt:prompt=support/main,model=smollm2-135m-instruct \\\n"
                 "      --rung few-shot:prompt=support/few,model=smollm2-135m-instruct\n"
                 "  crossover ladder --show 06bq3f…\n"
                 "Kinds: system-prompt, few-shot (solved examples in the prompt), larger-model.",
                 [&context, options] { return RunLadder(context, *options); });
  command->add_option("task", options->task, "Task whose target ends the climb");
  command->add_option("--dev", options->dev, "Suite with role dev");
  command->add_option("--test", options->test,
                      "Suite with role test, read once for the rung that is chosen");
  command->add_option("--rung", options->rungs,
                      "KIND:SYSTEM in the order to climb; may be given again");
  command->add_option("--file", options->file, "YAML file with the fields of Ladder")
      ->check(CLI::ExistingFile);
  AddSet(command, context, options->settings, Ladder::descriptor(),
         "FIELD=VALUE of Ladder, such as repeats=3; may be given again");
  command->add_option("--show", options->ladder, "Show or follow this ladder instead");
  command->add_flag("--list", options->list, "List ladders instead");
  command->add_flag("--all", options->climb_all, "Climb on after a rung has met the target");
  command->add_flag("-d,--detach", options->detach, "Do not wait");
}

}  // namespace crossover::cli
