// Pairs, grades, ledger, arms, feedback and recordings.
#include <algorithm>
#include <array>
#include <set>

#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/id/request_id.h"
#include "common/id/uuid7.h"
#include "common/pg/transaction.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/domain/facts.h"
#include "services/shadow_router/domain/record_json.h"
#include "services/shadow_router/storage/embedded_sql.h"
#include "services/shadow_router/storage/pg_router_store.h"
#include "services/shadow_router/storage/pg_rows.h"

namespace crossover::router {
namespace {

constexpr std::array<GradeSource, 4> kSources = {GradeSource::kLabel, GradeSource::kFeedback,
                                                 GradeSource::kValidator, GradeSource::kJudge};
constexpr std::array<Validity, 7> kValidities = {
    Validity::kValid,    Validity::kTruncated, Validity::kCancelled,     Validity::kFiltered,
    Validity::kFallback, Validity::kCached,    Validity::kToolSideEffect};

template <typename Values>
auto Named(const Values& values, std::string_view name)
    -> absl::StatusOr<typename Values::value_type> {
  for (const auto value : values) {
    if (ToString(value) == name) return value;
  }
  return absl::DataLossError(absl::StrCat("stored value '", std::string(name), "' is unknown"));
}

int64_t Sum(const std::map<std::string, int64_t>& counts) {
  int64_t sum = 0;
  for (const auto& [reason, count] : counts) sum += count;
  return sum;
}

void InsertLedger(pqxx::transaction_base& txn, const Batch& batch, const LedgerKey& key,
                  const LedgerCounts& counts) {
  txn.exec_params(sql::kUpsertLedger, batch.instance, batch.incarnation, key.experiment,
                  key.comparison, pg::ToTimestamp(key.minute), counts.eligible, counts.sampled,
                  counts.paired, TextOf(nlohmann::json(counts.failed)), Sum(counts.failed),
                  TextOf(nlohmann::json(counts.dropped)), Sum(counts.dropped), counts.in_flight,
                  counts.bytes);
}

void InsertGrade(pqxx::transaction_base& txn, int64_t pair, const std::string& experiment,
                 int comparison, const Grade& grade) {
  txn.exec_params(sql::kInsertGrade, pair, experiment, comparison,
                  std::string(ToString(grade.source)), grade.grader_version, grade.primary_loss,
                  grade.candidate_loss, pg::ToTimestamp(grade.time));
}

absl::Status InsertPair(pqxx::transaction_base& txn, const Pair& pair) {
  ASSIGN_OR_RETURN(const std::string uuid, IdToUuid(pair.id));
  Pair body = pair;
  body.grades.clear();
  const PairFacts facts = FactsOf(pair, 0);
  const pqxx::result rows =
      txn.exec_params(sql::kInsertPair, uuid, pair.experiment, pair.comparison, pair.request_id,
                      ColumnText(pair.completion_id), pg::ToTimestamp(pair.time), pair.cluster,
                      pair.self_compare, std::string(ToString(pair.validity)), facts.agree,
                      pair.Gradable(), TextOf(ToJson(facts)), TextOf(ToJson(body)));
  if (rows.empty()) return absl::OkStatus();  // A batch that is applied again.
  for (const Grade& grade : pair.grades) {
    InsertGrade(txn, rows[0][0].as<int64_t>(), pair.experiment, pair.comparison, grade);
  }
  return absl::OkStatus();
}

absl::StatusOr<Grade> GradeOf(const pqxx::row& row) {
  Grade grade;
  ASSIGN_OR_RETURN(grade.source, Named(kSources, row[1].c_str()));
  grade.grader_version = row[2].c_str();
  grade.primary_loss = row[3].as<double>();
  grade.candidate_loss = row[4].as<double>();
  ASSIGN_OR_RETURN(grade.time, TimeOf(row[5]));
  return grade;
}

// Puts the grades of these pairs, given by their sequences, in their places.
absl::Status AddGrades(pqxx::transaction_base& txn, const std::vector<int64_t>& sequences,
                       std::vector<Pair>& pairs) {
  for (const pqxx::row& row : txn.exec_params(sql::kGradesOfPairs, pg::ArrayLiteral(sequences))) {
    const auto at = std::find(sequences.begin(), sequences.end(), row[0].as<int64_t>());
    ASSIGN_OR_RETURN(Grade grade, GradeOf(row));
    pairs[static_cast<size_t>(at - sequences.begin())].grades.push_back(std::move(grade));
  }
  return absl::OkStatus();
}

absl::StatusOr<Pair> PairOf(const pqxx::field& body) {
  ASSIGN_OR_RETURN(const nlohmann::json json, JsonOf(body));
  return PairFromJson(json);
}

absl::StatusOr<std::map<std::string, int64_t>> CountsOf(const pqxx::field& field) {
  ASSIGN_OR_RETURN(const nlohmann::json json, JsonOf(field));
  std::map<std::string, int64_t> counts;
  for (const auto& [reason, count] : json.items()) {
    if (count.is_number_integer()) counts[reason] = count.get<int64_t>();
  }
  return counts;
}

}  // namespace

absl::Status PgRouterStore::Flush(const Batch& batch) {
  return pg::Transact(
      pool_, {.name = "flush_router"}, [&](pqxx::transaction_base& txn) -> absl::Status {
        for (const auto& [key, counts] : batch.ledger) InsertLedger(txn, batch, key, counts);
        for (const auto& [key, counts] : batch.arms) {
          txn.exec_params(sql::kUpsertArm, batch.instance, batch.incarnation, key.experiment,
                          key.comparison, key.weight, TextOf(ToJson(counts)));
        }
        std::set<std::string> experiments;  // Locked in one order everywhere.
        for (const Pair& pair : batch.pairs) experiments.insert(pair.experiment);
        for (const std::string& experiment : experiments)
          txn.exec_params(sql::kLockExperimentPairs, experiment);
        for (const Pair& pair : batch.pairs) RETURN_IF_ERROR(InsertPair(txn, pair));
        for (const Recording& recording : batch.recordings) {
          ASSIGN_OR_RETURN(const std::string uuid, IdToUuid(recording.id));
          txn.exec_params(sql::kInsertRecording, uuid, recording.route,
                          pg::ToTimestamp(recording.time), TextOf(ToJson(recording)));
        }
        return absl::OkStatus();
      });
}

absl::StatusOr<int64_t> PgRouterStore::CloseOldIncarnations(const std::string& instance,
                                                            const std::string& incarnation) {
  return pg::Transact(
      pool_, {.name = "close_old_incarnations"},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<int64_t> {
        return txn.exec_params1(sql::kCloseOldIncarnations, instance, incarnation)[0].as<int64_t>();
      });
}

absl::StatusOr<Pair> PgRouterStore::GetPair(const std::string& id) {
  ASSIGN_OR_RETURN(const std::string uuid, IdToUuid(id));
  return pg::Transact(pool_, {.name = "get_pair", .read_only = true},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<Pair> {
                        const pqxx::result rows = txn.exec_params(sql::kGetPair, uuid);
                        if (rows.empty()) return NotFound(absl::StrCat("pair ", id));
                        ASSIGN_OR_RETURN(Pair pair, PairOf(rows[0][1]));
                        std::vector<Pair> one = {std::move(pair)};
                        RETURN_IF_ERROR(AddGrades(txn, {rows[0][0].as<int64_t>()}, one));
                        return one[0];
                      });
}

absl::StatusOr<Listed<Pair>> PgRouterStore::ListPairs(const PairFilter& filter, const Page& page) {
  int64_t below = 0;
  if (!page.token.empty() && !absl::SimpleAtoi(page.token, &below)) {
    return Error(absl::StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID",
                 "the page token is damaged");
  }
  return pg::Transact(pool_, {.name = "list_pairs", .read_only = true},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<Listed<Pair>> {
                        Listed<Pair> listed;
                        std::vector<int64_t> sequences;
                        const pqxx::result rows = txn.exec_params(
                            sql::kListPairs, filter.experiment, filter.comparison.value_or(-1),
                            filter.agree ? (*filter.agree ? 1 : 0) : -1, filter.only_valid, below,
                            page.size + 1);
                        for (const pqxx::row& row : rows) {
                          if (listed.items.size() == static_cast<size_t>(page.size)) {
                            listed.next_token = absl::StrCat(sequences.back());
                            break;
                          }
                          sequences.push_back(row[0].as<int64_t>());
                          ASSIGN_OR_RETURN(Pair pair, PairOf(row[1]));
                          listed.items.push_back(std::move(pair));
                        }
                        RETURN_IF_ERROR(AddGrades(txn, sequences, listed.items));
                        return listed;
                      });
}

absl::StatusOr<std::vector<LedgerRow>> PgRouterStore::ListLedger(const std::string& experiment,
                                                                 std::optional<int> comparison) {
  return pg::Transact(
      pool_, {.name = "list_ledger", .read_only = true},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<std::vector<LedgerRow>> {
        std::vector<LedgerRow> all;
        for (const pqxx::row& row :
             txn.exec_params(sql::kListLedger, experiment, comparison.value_or(-1))) {
          LedgerRow entry{.instance = row[0].c_str(), .incarnation = row[1].c_str()};
          entry.key = {experiment, row[2].as<int>(), {}};
          ASSIGN_OR_RETURN(entry.key.minute, TimeOf(row[3]));
          entry.counts = {.eligible = row[4].as<int64_t>(),
                          .sampled = row[5].as<int64_t>(),
                          .paired = row[6].as<int64_t>(),
                          .in_flight = row[9].as<int64_t>(),
                          .bytes = row[10].as<int64_t>()};
          ASSIGN_OR_RETURN(entry.counts.failed, CountsOf(row[7]));
          ASSIGN_OR_RETURN(entry.counts.dropped, CountsOf(row[8]));
          all.push_back(std::move(entry));
        }
        return all;
      });
}

absl::StatusOr<LedgerCounts> PgRouterStore::SumLedger(const std::string& experiment,
                                                      int comparison) {
  return pg::Transact(pool_, {.name = "sum_ledger", .read_only = true},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<LedgerCounts> {
                        const pqxx::row row =
                            txn.exec_params1(sql::kSumLedger, experiment, comparison);
                        LedgerCounts sum{.eligible = row[0].as<int64_t>(),
                                         .sampled = row[1].as<int64_t>(),
                                         .paired = row[2].as<int64_t>(),
                                         .in_flight = row[3].as<int64_t>(),
                                         .bytes = row[4].as<int64_t>()};
                        ASSIGN_OR_RETURN(sum.failed, CountsOf(row[5]));
                        ASSIGN_OR_RETURN(sum.dropped, CountsOf(row[6]));
                        return sum;
                      });
}

absl::StatusOr<std::map<int, ArmCounts>> PgRouterStore::SumArms(const std::string& experiment,
                                                                int comparison) {
  using Sums = std::map<int, ArmCounts>;
  return pg::Transact(
      pool_, {.name = "sum_arms", .read_only = true},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<Sums> {
        Sums sums;
        for (const pqxx::row& row : txn.exec_params(sql::kListArms, experiment, comparison)) {
          ASSIGN_OR_RETURN(const nlohmann::json json, JsonOf(row[1]));
          ASSIGN_OR_RETURN(const ArmCounts counts, ArmCountsFromJson(json));
          sums[row[0].as<int>()].Add(counts);
        }
        return sums;
      });
}

absl::StatusOr<std::vector<PairFacts>> PgRouterStore::PairFactsAfter(const std::string& experiment,
                                                                     int comparison, int64_t after,
                                                                     int limit) {
  return pg::Transact(pool_, {.name = "pairs_after", .read_only = true},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<std::vector<PairFacts>> {
                        std::vector<PairFacts> all;
                        for (const pqxx::row& row : txn.exec_params(sql::kPairsAfter, experiment,
                                                                    comparison, after, limit)) {
                          ASSIGN_OR_RETURN(const nlohmann::json json, JsonOf(row[1]));
                          ASSIGN_OR_RETURN(PairFacts facts, PairFactsFromJson(json));
                          facts.sequence = row[0].as<int64_t>();
                          all.push_back(std::move(facts));
                        }
                        return all;
                      });
}

absl::StatusOr<std::vector<GradeFacts>> PgRouterStore::GradeFactsAfter(
    const std::string& experiment, int comparison, int64_t after, int limit) {
  return pg::Transact(pool_, {.name = "grades_after", .read_only = true},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<std::vector<GradeFacts>> {
                        std::vector<GradeFacts> all;
                        for (const pqxx::row& row : txn.exec_params(sql::kGradesAfter, experiment,
                                                                    comparison, after, limit)) {
                          GradeFacts facts{.sequence = row[0].as<int64_t>()};
                          ASSIGN_OR_RETURN(facts.pair, UuidToId(row[1].c_str()));
                          facts.cluster = row[2].c_str();
                          facts.self_compare = row[3].as<bool>();
                          ASSIGN_OR_RETURN(facts.validity, Named(kValidities, row[4].c_str()));
                          ASSIGN_OR_RETURN(facts.source, Named(kSources, row[5].c_str()));
                          facts.primary_loss = row[6].as<double>();
                          facts.candidate_loss = row[7].as<double>();
                          all.push_back(std::move(facts));
                        }
                        return all;
                      });
}

absl::StatusOr<bool> PgRouterStore::AddFeedback(const Feedback& feedback) {
  return pg::Transact(
      pool_, {.name = "add_feedback"}, [&](pqxx::transaction_base& txn) -> absl::StatusOr<bool> {
        const pqxx::result made = txn.exec_params(
            sql::kInsertFeedback, feedback.id, feedback.project, feedback.inference_id,
            feedback.name, feedback.value, feedback.author, pg::ToTimestamp(feedback.time));
        if (!made.empty()) return made[0][0].as<bool>();
        const pqxx::result same =
            txn.exec_params(sql::kIsSameFeedback, feedback.id, feedback.project,
                            feedback.inference_id, feedback.name, feedback.value, feedback.author);
        if (!same.empty()) return same[0][0].as<bool>();
        return RequestIdReused(feedback.id);
      });
}

absl::StatusOr<std::vector<FeedbackForPair>> PgRouterStore::UngradedFeedback(
    const std::string& experiment, absl::Time since, int limit) {
  const std::string after = since == absl::InfinitePast() ? "-infinity" : pg::ToTimestamp(since);
  return pg::Transact(
      pool_, {.name = "ungraded_feedback", .read_only = true},
      [&](pqxx::transaction_base& txn) -> absl::StatusOr<std::vector<FeedbackForPair>> {
        std::vector<FeedbackForPair> all;
        for (const pqxx::row& row :
             txn.exec_params(sql::kUngradedFeedback, experiment, limit, after)) {
          FeedbackForPair item;
          ASSIGN_OR_RETURN(item.feedback, FeedbackOf(row));
          ASSIGN_OR_RETURN(item.pair, PairOf(row[7]));
          all.push_back(std::move(item));
        }
        return all;
      });
}

absl::Status PgRouterStore::AddGrade(const std::string& pair, const Grade& grade) {
  ASSIGN_OR_RETURN(const std::string uuid, IdToUuid(pair));
  return pg::Transact(
      pool_, {.name = "add_grade"}, [&](pqxx::transaction_base& txn) -> absl::Status {
        const pqxx::result rows = txn.exec_params(sql::kFindPairForGrade, uuid);
        if (rows.empty()) return NotFound(absl::StrCat("pair ", pair));
        txn.exec_params(sql::kLockExperimentPairs, rows[0][1].c_str());
        InsertGrade(txn, rows[0][0].as<int64_t>(), rows[0][1].c_str(), rows[0][2].as<int>(), grade);
        return absl::OkStatus();
      });
}

absl::StatusOr<Listed<Feedback>> PgRouterStore::ListFeedback(const std::string& inference_id,
                                                             const Page& page) {
  return pg::Transact(pool_, {.name = "list_feedback", .read_only = true},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<Listed<Feedback>> {
                        Listed<Feedback> listed;
                        for (const pqxx::row& row : txn.exec_params(
                                 sql::kListFeedback, inference_id, page.token, page.size + 1)) {
                          if (listed.items.size() == static_cast<size_t>(page.size)) {
                            listed.next_token = listed.items.back().id;
                            break;
                          }
                          ASSIGN_OR_RETURN(Feedback feedback, FeedbackOf(row));
                          listed.items.push_back(std::move(feedback));
                        }
                        return listed;
                      });
}

absl::StatusOr<Listed<Recording>> PgRouterStore::ListRecordings(const std::string& route,
                                                                const Page& page) {
  std::string below;
  if (!page.token.empty()) {
    ASSIGN_OR_RETURN(below, IdToUuid(page.token));
  }
  return pg::Transact(pool_, {.name = "list_recordings", .read_only = true},
                      [&](pqxx::transaction_base& txn) -> absl::StatusOr<Listed<Recording>> {
                        Listed<Recording> listed;
                        for (const pqxx::row& row :
                             txn.exec_params(sql::kListRecordings, route, below, page.size + 1)) {
                          if (listed.items.size() == static_cast<size_t>(page.size)) {
                            listed.next_token = listed.items.back().id;
                            break;
                          }
                          ASSIGN_OR_RETURN(const nlohmann::json json, JsonOf(row[0]));
                          ASSIGN_OR_RETURN(Recording recording, RecordingFromJson(json));
                          listed.items.push_back(std::move(recording));
                        }
                        return listed;
                      });
}

}  // namespace crossover::router
