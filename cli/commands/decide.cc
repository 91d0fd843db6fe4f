// crossover decide: stay with the prompt, fine-tune, both, or wait.
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/client/names.h"
#include "cli/client/spec_file.h"
#include "cli/commands/command.h"
#include "cli/commands/commands.h"
#include "cli/output/error.h"
#include "cli/output/format.h"
#include "cli/output/table.h"
#include "crossover/evaluation/v1/decision_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace evaluation = ::crossover::evaluation::v1;
using evaluation::Decision;
using type::v1::Evidence;
using DecideStub = evaluation::DecisionService::Stub;

struct DecideOptions {
  std::string task;
  std::string show;
  std::string ladder;
  std::string dataset;
  std::string comparison;
  std::vector<std::string> thresholds;
  std::vector<std::string> waivers;
  std::string by;
  std::string sign;
  std::string veto;
};

std::string StatusCell(const Terminal& terminal, Evidence::Status status) {
  const Style style = status == Evidence::MET       ? Style::kGood
                      : status == Evidence::NOT_MET ? Style::kBad
                      : status == Evidence::UNKNOWN ? Style::kWarning
                                                    : Style::kPlain;
  return Styled(terminal, style, EnumWord(Evidence::Status_Name(status)));
}

std::string ValueCell(const Evidence& evidence) {
  if (!evidence.value().empty()) return evidence.value();
  return evidence.has_interval() ? NumberInterval(evidence.interval()) : "";
}

void PrintEvidence(Context& context, const Decision& decision) {
  for (const auto kind : {Evidence::NECESSARY, Evidence::SUFFICIENT}) {
    Table table({{kind == Evidence::NECESSARY ? "NECESSARY, ALL" : "SUFFICIENT, ONE"},
                 {"STATUS"},
                 {"VALUE", Align::kLeft, true},
                 {"THRESHOLD", Align::kLeft, true},
                 {"SOURCE"},
                 {"WHY", Align::kLeft, true}});
    for (const Evidence& evidence : decision.evidence()) {
      if (evidence.kind() != kind) continue;
      const std::string why =
          evidence.has_waiver()
              ? absl::StrCat("waived by ", evidence.waiver().by(), ": ", evidence.waiver().reason())
              : evidence.explanation();
      table.AddRow({evidence.condition(), StatusCell(context.terminal(), evidence.status()),
                    ValueCell(evidence), evidence.threshold(),
                    EnumWord(Evidence::Source_Name(evidence.source())), why});
    }
    if (!table.empty()) context.terminal().out << table.Render(context.terminal()) << "\n";
  }
}

// Where a part of the return comes from: " (declared)"; empty where the server does not say.
std::string SourceOf(const evaluation::ReturnOnInvestment& roi, const std::string& part) {
  for (const auto& item : roi.items()) {
    if (item.name() == part) return " (" + EnumWord(Evidence::Source_Name(item.source())) + ")";
  }
  return "";
}

void PrintReturn(Context& context, const evaluation::ReturnOnInvestment& roi) {
  Details details;
  details.Add("once", Amount(roi.one_time()) + " (sum of the parts below)");
  details.Add("a month, before", Amount(roi.monthly_before()) + SourceOf(roi, "prompt_serving"));
  details.Add("a month, after",
              Amount(roi.monthly_after()) + " (serving, retraining and operations, see below)");
  details.Add("paid back", roi.has_payback_months()
                               ? NumberInterval(roi.payback_months()) + " months"
                               : "never: no saving");
  details.Add("six months", Amount(roi.tco_6_months()).empty()
                                ? ""
                                : Amount(roi.tco_6_months()) + " tuned, " +
                                      Amount(roi.tco_6_months_prompt()) + " prompt");
  context.terminal().out << Styled(context.terminal(), Style::kBold, "RETURN") << "\n"
                         << details.Render(context.terminal());
  Table items({{"OF WHICH"}, {"AMOUNT", Align::kRight}, {"SOURCE"}, {"HOW", Align::kLeft, true}});
  for (const auto& item : roi.items()) {
    items.AddRow({item.name(), Amount(item.amount()),
                  EnumWord(Evidence::Source_Name(item.source())), item.explanation()});
  }
  context.terminal().out << items.Render(context.terminal()) << "\n";
}

void PrintList(Context& context, const std::string& title,
               const google::protobuf::RepeatedPtrField<std::string>& lines) {
  if (lines.empty()) return;
  context.terminal().out << Styled(context.terminal(), Style::kBold, title) << "\n";
  for (const std::string& line : lines) context.terminal().out << "- " << line << "\n";
  context.terminal().out << "\n";
}

// Thresholds that stand in for a default: nothing about a verdict is silent.
void PrintOverrides(Context& context, const Decision& decision) {
  std::ostream& out = context.terminal().out;
  for (const auto& threshold : decision.overridden_thresholds()) {
    out << Styled(context.terminal(), Style::kWarning, "overridden") << ": " << threshold.name()
        << " " << threshold.value() << " (default " << threshold.default_value() << ", by the "
        << threshold.origin() << ")\n";
  }
  if (!decision.overridden_thresholds().empty()) out << "\n";
}

void PrintDecision(Context& context, const Decision& decision) {
  std::ostream& out = context.terminal().out;
  out << decision.name() << "\n\n";
  PrintOverrides(context, decision);
  PrintEvidence(context, decision);
  if (decision.has_roi()) PrintReturn(context, decision.roi());
  out << Styled(context.terminal(), Style::kBold,
                "VERDICT  " + EnumWord(Decision::Recommendation_Name(decision.recommendation())));
  out << "  (" << EnumWord(Decision::State_Name(decision.state())) << ")\n\n";
  PrintList(context, "BECAUSE", decision.reasons());
  for (const auto& answer : decision.answers())
    out << answer.question() << "\n  " << answer.answer() << "\n";
  if (!decision.answers().empty()) out << "\n";
  Table alternatives(
      {{"SYMPTOM", Align::kLeft, true}, {"REMEDY", Align::kLeft, true}, {"VERDICT"}});
  for (const auto& alternative : decision.alternatives()) {
    alternatives.AddRow({alternative.symptom(), alternative.remedy(),
                         EnumWord(Decision::Recommendation_Name(alternative.recommendation()))});
  }
  if (!alternatives.empty()) out << alternatives.Render(context.terminal()) << "\n";
  PrintList(context, "NEXT", decision.next_steps());
}

absl::StatusOr<Decision> CreateDecision(Context& context, std::unique_ptr<DecideStub>& stub,
                                        const DecideOptions& options) {
  evaluation::CreateDecisionRequest request;
  ASSIGN_OR_RETURN(*request.mutable_parent(), ExistingTaskName(context, options.task));
  evaluation::DecisionInputs& inputs = *request.mutable_decision()->mutable_inputs();
  if (!options.ladder.empty()) {
    ASSIGN_OR_RETURN(*inputs.mutable_ladder(), FullName(context, "ladders", options.ladder));
  }
  if (!options.dataset.empty()) {
    ASSIGN_OR_RETURN(*inputs.mutable_dataset_version(),
                     DatasetVersionName(context, options.dataset));
  }
  if (!options.comparison.empty()) {
    ASSIGN_OR_RETURN(*inputs.mutable_comparison(),
                     FullName(context, "comparisons", options.comparison));
  }
  for (const std::string& text : options.thresholds) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos)
      return UsageError(absl::StrCat("'", text, "' is not NAME=VALUE"));
    (*inputs.mutable_thresholds())[text.substr(0, equals)] = text.substr(equals + 1);
  }
  request.set_request_id(context.RequestId());
  return context.Call(stub, &DecideStub::CreateDecision, request, true);
}

absl::StatusOr<std::string> DecisionName(const Context& context, const DecideOptions& options) {
  if (options.show.rfind("projects/", 0) == 0) return options.show;
  if (options.task.empty()) return UsageError("give the task of the decision, too");
  ASSIGN_OR_RETURN(const std::string task, TaskName(context, options.task));
  return task + "/decisions/" + options.show;
}

absl::Status RunDecide(Context& context, const DecideOptions& options) {
  auto stub = evaluation::DecisionService::NewStub(context.Channel());
  Decision decision;
  if (options.show.empty()) {
    if (options.task.empty()) return UsageError("give a task");
    ASSIGN_OR_RETURN(decision, CreateDecision(context, stub, options));
  } else {
    evaluation::GetDecisionRequest get;
    ASSIGN_OR_RETURN(*get.mutable_name(), DecisionName(context, options));
    ASSIGN_OR_RETURN(decision, context.Call(stub, &DecideStub::GetDecision, get, true));
  }
  for (const std::string& waiver : options.waivers) {
    const size_t equals = waiver.find('=');
    if (equals == std::string::npos)
      return UsageError(absl::StrCat("'", waiver, "' is not CONDITION=REASON"));
    evaluation::WaiveConditionRequest request;
    request.set_name(decision.name());
    request.set_condition(waiver.substr(0, equals));
    request.set_reason(waiver.substr(equals + 1));
    request.set_by(options.by);
    ASSIGN_OR_RETURN(decision, context.Call(stub, &DecideStub::WaiveCondition, request));
  }
  if (!options.sign.empty()) {
    evaluation::SignDecisionRequest request;
    request.set_name(decision.name());
    request.set_by(options.by);
    request.set_reason(options.sign);
    ASSIGN_OR_RETURN(decision, context.Call(stub, &DecideStub::SignDecision, request));
  }
  if (!options.veto.empty()) {
    evaluation::VetoDecisionRequest request;
    request.set_name(decision.name());
    request.set_by(options.by);
    request.set_reason(options.veto);
    ASSIGN_OR_RETURN(decision, context.Call(stub, &DecideStub::VetoDecision, request));
  }
  if (!context.PrintedJson(decision)) PrintDecision(context, decision);
  return absl::OkStatus();
}

}  // namespace

void AddDecide(CLI::App& app, Context& context) {
  auto options = std::make_shared<DecideOptions>();
  CLI::App* command =
      AddCommand(app, context, "decide",
                 "Say whether fine-tuning is worth it, with evidence for every condition",
                 "  crossover decide support\n"
                 "  crossover decide support --dataset support-rows --ladder 06bq3f…\n"
                 "  crossover decide support --show 06bq3f… --waive prompt_stable='moved from "
                 "another tool' --by ana --sign 'agreed in review'",
                 [&context, options] { return RunDecide(context, *options); });
  command->add_option("task", options->task, "Task to decide on");
  command->add_option("--ladder", options->ladder, "Ladder; default: the task's newest");
  command->add_option("--dataset", options->dataset,
                      "DATASET[@VERSION] that would be trained on; default: the task's newest");
  command->add_option("--comparison", options->comparison,
                      "Comparison of tuned model and prompt; default: the task's newest");
  command->add_option("--threshold", options->thresholds,
                      "NAME=VALUE instead of a default; may be given again");
  command->add_option("--show", options->show,
                      "A decision that was made before, instead of a new one");
  command->add_option("--waive", options->waivers,
                      "CONDITION=REASON: go on without it; may be given again");
  command->add_option("--by", options->by, "Who waives, signs or vetoes")->envname("USER");
  command->add_option("--sign", options->sign, "Agree, with a reason");
  command->add_option("--veto", options->veto, "Disagree, with a reason")->excludes("--sign");
}

}  // namespace crossover::cli
