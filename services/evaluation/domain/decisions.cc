#include "services/evaluation/domain/decisions.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/evaluation/domain/case_builder.h"
#include "services/evaluation/domain/documents.h"

namespace crossover::evaluation {
namespace {

// The named ladder, else the newest of the task that has measured anything.
absl::StatusOr<std::optional<Ladder>> FindLadder(Store& store, const std::string& task,
                                                 const std::string& name) {
  if (!name.empty()) {
    ASSIGN_OR_RETURN(Document document, store.Get(kLadderKind, name));
    ASSIGN_OR_RETURN(Ladder ladder, FromDocument<Ladder>(document));
    return ladder;
  }
  ASSIGN_OR_RETURN(std::vector<Document> documents,
                   store.List({.kind = kLadderKind, .task = task}));
  ASSIGN_OR_RETURN(std::vector<Ladder> ladders, FromDocuments<Ladder>(documents));
  for (Ladder& ladder : ladders) {
    if (BestRung(ladder) >= 0) return std::move(ladder);
  }
  return std::nullopt;
}

absl::StatusOr<std::optional<Comparison>> FindComparison(Store& store, const std::string& task,
                                                         const std::string& name) {
  if (!name.empty()) {
    ASSIGN_OR_RETURN(Document document, store.Get(kComparisonKind, name));
    ASSIGN_OR_RETURN(Comparison comparison, FromDocument<Comparison>(document));
    return comparison;
  }
  ASSIGN_OR_RETURN(std::vector<Document> documents,
                   store.List({.kind = kComparisonKind, .task = task, .limit = 1}));
  if (documents.empty()) return std::nullopt;
  ASSIGN_OR_RETURN(Comparison comparison, FromDocument<Comparison>(documents[0]));
  return comparison;
}

}  // namespace

absl::StatusOr<CaseFile> Decisions::Gather(const Decision& decision) {
  CaseSources sources;
  ASSIGN_OR_RETURN(sources.task, facts_.Task(decision.task));
  ASSIGN_OR_RETURN(sources.ladder, FindLadder(store_, decision.task, decision.inputs.ladder));
  ASSIGN_OR_RETURN(sources.comparison,
                   FindComparison(store_, decision.task, decision.inputs.comparison));
  ASSIGN_OR_RETURN(sources.data, facts_.Data(decision.task, decision.inputs.dataset_version));
  if (sources.ladder) {
    int best = BestRung(*sources.ladder);
    for (size_t i = 0; i < sources.ladder->rungs.size(); ++i) {
      const Rung& rung = sources.ladder->rungs[i];
      if (!rung.dev || rung.run.empty()) continue;
      ASSIGN_OR_RETURN(Run run, runs_.Get(rung.run));
      sources.evaluation_cost += run.cost;
      if (run.results.empty()) continue;
      if (static_cast<int>(i) == best) sources.best_result = run.results[0];
      if (rung.kind == RungKind::kSystemPrompt) sources.plain_result = run.results[0];
    }
    std::string version = best >= 0 ? sources.ladder->rungs[best].system.prompt_version : "";
    if (!version.empty()) {
      ASSIGN_OR_RETURN(sources.prompt, facts_.Prompt(version));
    }
  }
  CaseFile file = BuildCase(sources, clock_.Now());
  file.waivers = decision.waivers;
  return file;
}

absl::Status Decisions::DecideNow(Decision& decision) {
  ASSIGN_OR_RETURN(GateThresholds thresholds, WithOverrides(decision.inputs.thresholds));
  ASSIGN_OR_RETURN(TaskRecord task, facts_.Task(decision.task));
  // The project's own rate stands above the default, and below what the request says.
  if (task.developer_hour && !decision.inputs.thresholds.count("developer_usd_per_hour")) {
    thresholds.developer_usd_per_hour = *task.developer_hour;
  }
  ASSIGN_OR_RETURN(CaseFile file, Gather(decision));
  decision.verdict = Decide(file, thresholds);
  decision.update_time = clock_.Now();
  count_(Name(decision.verdict.recommendation));
  return absl::OkStatus();
}

absl::StatusOr<Decision> Decisions::Create(Decision decision, const RequestKey& request,
                                           bool validate_only) {
  decision.create_time = clock_.Now();
  decision.state = DecisionState::kOpen;
  RETURN_IF_ERROR(DecideNow(decision));
  if (validate_only) return decision;
  decision.id = ids_.NextId();
  ASSIGN_OR_RETURN(Document stored, store_.Create(ToDocument(decision), request));
  return FromDocument<Decision>(stored);
}

absl::StatusOr<Decision> Decisions::Get(const std::string& name) {
  ASSIGN_OR_RETURN(Document document, store_.Get(kDecisionKind, name));
  return FromDocument<Decision>(document);
}

absl::StatusOr<Decision> Decisions::Change(const std::string& name, bool must_be_open,
                                           const std::function<absl::Status(Decision&)>& change) {
  ASSIGN_OR_RETURN(Decision decision, Get(name));
  bool closed =
      decision.state == DecisionState::kSigned || decision.state == DecisionState::kVetoed;
  if (must_be_open && closed) {
    return Error(absl::StatusCode::kFailedPrecondition, "DECISION_CLOSED",
                 absl::StrCat(name, " is ", Name(decision.state), " by ", decision.signed_by,
                              "; reopen it first"));
  }
  RETURN_IF_ERROR(change(decision));
  decision.update_time = clock_.Now();
  ASSIGN_OR_RETURN(Document stored, store_.Update(ToDocument(decision)));
  return FromDocument<Decision>(stored);
}

absl::StatusOr<Decision> Decisions::Sign(const std::string& name, const std::string& by,
                                         const std::string& reason) {
  return Change(name, true, [&](Decision& decision) {
    decision.state = DecisionState::kSigned;
    decision.signed_by = by;
    decision.sign_reason = reason;
    decision.sign_time = clock_.Now();
    return absl::OkStatus();
  });
}

absl::StatusOr<Decision> Decisions::Veto(const std::string& name, const std::string& by,
                                         const std::string& reason) {
  return Change(name, true, [&](Decision& decision) {
    decision.state = DecisionState::kVetoed;
    decision.signed_by = by;
    decision.sign_reason = reason;
    decision.sign_time = clock_.Now();
    return absl::OkStatus();
  });
}

absl::StatusOr<Decision> Decisions::Waive(const std::string& name, const std::string& condition,
                                          const std::string& by, const std::string& reason) {
  if (reason.empty() || by.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "FIELD_REQUIRED",
                 "a waiver needs `by` and `reason`: who takes the responsibility, and why");
  }
  return Change(name, true, [&](Decision& decision) -> absl::Status {
    const auto& evidence = decision.verdict.evidence;
    bool known = std::any_of(evidence.begin(), evidence.end(), [&](const Evidence& item) {
      return item.condition == condition && item.kind == EvidenceKind::kNecessary;
    });
    if (!known) {
      return Error(
          absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
          absl::StrCat("condition: '", condition, "' is no necessary condition of this decision"));
    }
    decision.waivers.push_back({condition, by, reason, clock_.Now()});
    return DecideNow(decision);
  });
}

absl::StatusOr<Decision> Decisions::Reopen(const std::string& name, const std::string& trigger) {
  return Change(name, false, [&](Decision& decision) {
    decision.state = DecisionState::kReopened;
    decision.trigger = trigger;
    decision.signed_by.clear();
    decision.sign_reason.clear();
    decision.sign_time.reset();
    return absl::OkStatus();
  });
}

}  // namespace crossover::evaluation
