// FakeRouterStore: what was measured, and what people said of it.
#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/id/request_id.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/domain/facts.h"
#include "services/shadow_router/domain/fake_store.h"
#include "services/shadow_router/domain/fake_store_answers.h"

namespace crossover::router {
namespace {

using fake_store::NotFound;
using fake_store::PageOf;

absl::Status RefusedByConstraint(const std::string& id) {
  return Error(absl::StatusCode::kFailedPrecondition, "CONSTRAINT_VIOLATED",
               absl::StrCat(id, " is refused"));
}

bool RightOutput(const Feedback& feedback) {
  return feedback.name == "label" || feedback.name == "demonstration";
}

}  // namespace

void FakeRouterStore::InsertGrade(const std::string& pair, const Grade& grade) {
  for (const StoredGrade& old : grades_) {
    if (old.pair == pair && old.grade.source == grade.source &&
        old.grade.grader_version == grade.grader_version)
      return;
  }
  grades_.push_back({static_cast<int64_t>(grades_.size()) + 1, pair, grade});
}

void FakeRouterStore::InsertPair(const Pair& pair) {
  const bool known =
      std::any_of(pairs_.begin(), pairs_.end(), [&](const Pair& old) { return old.id == pair.id; });
  if (known) return;
  pairs_.push_back(pair);
  for (const Grade& grade : pair.grades) InsertGrade(pair.id, grade);
}

absl::Status FakeRouterStore::Flush(const Batch& batch) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  for (const auto& [key, counts] : batch.ledger) {
    if (!experiments_.contains(key.experiment)) {
      return Error(absl::StatusCode::kFailedPrecondition, "CONSTRAINT_VIOLATED",
                   absl::StrCat("there is no ", key.experiment));
    }
  }
  for (const Pair& pair : batch.pairs) {
    if (pair.id == refused_) return RefusedByConstraint(pair.id);
  }
  for (const auto& [key, counts] : batch.ledger)
    ledger_[{batch.instance, batch.incarnation, key}] = counts;
  for (const auto& [key, counts] : batch.arms)
    arms_[{batch.instance, batch.incarnation, key}] = counts;
  for (const Pair& pair : batch.pairs) InsertPair(pair);
  for (const Recording& recording : batch.recordings) {
    const bool known = std::any_of(recordings_.begin(), recordings_.end(),
                                   [&](const Recording& old) { return old.id == recording.id; });
    if (!known) recordings_.push_back(recording);
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> FakeRouterStore::CloseOldIncarnations(const std::string& instance,
                                                              const std::string& incarnation) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  int64_t crashed = 0;
  for (auto& [key, counts] : ledger_) {
    if (std::get<0>(key) != instance || std::get<1>(key) == incarnation || counts.in_flight == 0)
      continue;
    crashed += counts.in_flight;
    counts.dropped[std::string(ToString(DropReason::kCrashed))] += counts.in_flight;
    counts.in_flight = 0;
  }
  return crashed;
}

absl::StatusOr<Pair> FakeRouterStore::GetPair(const std::string& id) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  for (const Pair& pair : pairs_) {
    if (pair.id != id) continue;
    Pair result = pair;
    result.grades.clear();
    for (const StoredGrade& grade : grades_) {
      if (grade.pair == id) result.grades.push_back(grade.grade);
    }
    return result;
  }
  return NotFound(id);
}

absl::StatusOr<Listed<Pair>> FakeRouterStore::ListPairs(const PairFilter& filter,
                                                        const Page& page) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  std::vector<Pair> all;
  for (auto it = pairs_.rbegin(); it != pairs_.rend(); ++it) {
    if (it->experiment != filter.experiment) continue;
    if (filter.comparison && it->comparison != *filter.comparison) continue;
    if (filter.only_valid && it->validity != Validity::kValid) continue;
    if (filter.agree && FactsOf(*it, 0).agree != *filter.agree) continue;
    Pair pair = *it;
    pair.grades.clear();
    for (const StoredGrade& grade : grades_) {
      if (grade.pair == pair.id) pair.grades.push_back(grade.grade);
    }
    all.push_back(std::move(pair));
  }
  return PageOf(all, page);
}

absl::StatusOr<std::vector<LedgerRow>> FakeRouterStore::ListLedger(const std::string& experiment,
                                                                   std::optional<int> comparison) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  std::vector<LedgerRow> rows;
  for (const auto& [key, counts] : ledger_) {
    const auto& [instance, incarnation, ledger_key] = key;
    if (ledger_key.experiment != experiment || (comparison && ledger_key.comparison != *comparison))
      continue;
    rows.push_back({instance, incarnation, ledger_key, counts});
  }
  return rows;
}

absl::StatusOr<LedgerCounts> FakeRouterStore::SumLedger(const std::string& experiment,
                                                        int comparison) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  LedgerCounts sum;
  for (const auto& [key, counts] : ledger_) {
    const LedgerKey& row = std::get<2>(key);
    if (row.experiment == experiment && row.comparison == comparison) sum.Add(counts);
  }
  return sum;
}

absl::StatusOr<std::map<int, ArmCounts>> FakeRouterStore::SumArms(const std::string& experiment,
                                                                  int comparison) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  std::map<int, ArmCounts> sums;
  for (const auto& [key, counts] : arms_) {
    const ArmKey& arm = std::get<2>(key);
    if (arm.experiment == experiment && arm.comparison == comparison) sums[arm.weight].Add(counts);
  }
  return sums;
}

absl::StatusOr<std::vector<PairFacts>> FakeRouterStore::PairFactsAfter(
    const std::string& experiment, int comparison, int64_t after, int limit) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  std::vector<PairFacts> facts;
  for (size_t i = static_cast<size_t>(after);
       i < pairs_.size() && facts.size() < static_cast<size_t>(limit); ++i) {
    const Pair& pair = pairs_[i];
    if (pair.experiment != experiment || pair.comparison != comparison) continue;
    facts.push_back(FactsOf(pair, static_cast<int64_t>(i) + 1));
  }
  return facts;
}

absl::StatusOr<std::vector<GradeFacts>> FakeRouterStore::GradeFactsAfter(
    const std::string& experiment, int comparison, int64_t after, int limit) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  std::map<std::string, const Pair*> by_id;
  for (const Pair& pair : pairs_) {
    if (pair.experiment == experiment && pair.comparison == comparison) by_id[pair.id] = &pair;
  }
  std::vector<GradeFacts> facts;
  for (const StoredGrade& grade : grades_) {
    if (grade.sequence <= after || facts.size() >= static_cast<size_t>(limit)) continue;
    const auto it = by_id.find(grade.pair);
    if (it != by_id.end()) facts.push_back(FactsOf(*it->second, grade.grade, grade.sequence));
  }
  return facts;
}

absl::StatusOr<bool> FakeRouterStore::AddFeedback(const Feedback& feedback) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  if (feedback.id == refused_ && !refused_.empty()) return RefusedByConstraint(feedback.id);
  const bool has_pair = std::ranges::any_of(pairs_, [&](const Pair& pair) {
    return ProjectOf(pair.experiment) == feedback.project &&
           (pair.request_id == feedback.inference_id ||
            pair.completion_id == feedback.inference_id);
  });
  for (const Feedback& old : feedback_) {
    if (old.id != feedback.id || old.project != feedback.project) continue;
    Feedback same = feedback;
    same.time = old.time;
    if (same != old) return RequestIdReused(feedback.id);
    return has_pair;
  }
  feedback_.push_back(feedback);
  return has_pair;
}

const Pair* FakeRouterStore::PairOf(const std::string& inference_id,
                                    const std::string& experiment) const {
  for (const Pair& pair : pairs_) {
    if (pair.experiment == experiment &&
        (pair.request_id == inference_id || pair.completion_id == inference_id)) {
      return &pair;
    }
  }
  return nullptr;
}

absl::StatusOr<std::vector<FeedbackForPair>> FakeRouterStore::UngradedFeedback(
    const std::string& experiment, absl::Time, int limit) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  std::vector<FeedbackForPair> result;
  for (const Feedback& feedback : feedback_) {
    if (!RightOutput(feedback) || feedback.project != ProjectOf(experiment) ||
        result.size() >= static_cast<size_t>(limit))
      continue;
    const Pair* pair = PairOf(feedback.inference_id, experiment);
    if (pair == nullptr) continue;
    if (!pair->Gradable()) continue;
    const bool graded = std::any_of(grades_.begin(), grades_.end(), [&](const StoredGrade& grade) {
      return grade.pair == pair->id && grade.grade.source == GradeSource::kLabel;
    });
    if (!graded) result.push_back({feedback, *pair});
  }
  return result;
}

absl::Status FakeRouterStore::AddGrade(const std::string& pair, const Grade& grade) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  const bool known =
      std::any_of(pairs_.begin(), pairs_.end(), [&](const Pair& one) { return one.id == pair; });
  if (!known) return NotFound(pair);
  InsertGrade(pair, grade);
  return absl::OkStatus();
}

absl::StatusOr<Listed<Feedback>> FakeRouterStore::ListFeedback(const std::string& inference_id,
                                                               const Page& page) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  std::vector<Feedback> all;
  for (const Feedback& feedback : feedback_) {
    if (feedback.inference_id == inference_id) all.push_back(feedback);
  }
  return PageOf(all, page);
}

absl::StatusOr<Listed<Recording>> FakeRouterStore::ListRecordings(const std::string& route,
                                                                  const Page& page) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(failure_);
  std::vector<Recording> all;
  for (auto it = recordings_.rbegin(); it != recordings_.rend(); ++it) {
    if (route.empty() || it->route == route) all.push_back(*it);
  }
  return PageOf(all, page);
}

}  // namespace crossover::router
