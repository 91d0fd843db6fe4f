#include "services/evaluation/storage/pg_store.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "common/id/request_id.h"
#include "common/pg/transaction.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/evaluation/domain/json_codec.h"
#include "services/evaluation/storage/embedded_sql.h"
#include "services/evaluation/storage/rows.h"

namespace crossover::evaluation {
namespace {

absl::Status NotFound(const std::string& name) {
  return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
               absl::StrCat(name, " does not exist"));
}

class PgStore final : public Store {
 public:
  explicit PgStore(pg::Pool& pool) : pool_(pool) {}

  absl::StatusOr<Document> Create(const Document& document, const RequestKey& request) override {
    return pg::Transact(
        pool_, {.name = "create_resource"},
        [&](pqxx::transaction_base& txn) -> absl::StatusOr<Document> {
          pqxx::result created = txn.exec_params(
              sql::kCreateResource, document.kind, document.name, document.project, document.task,
              document.parent, document.state, document.body, request.id, request.payload_digest);
          if (!created.empty()) return ToDocument(created[0]);
          if (!request.id.empty()) {
            pqxx::result found =
                txn.exec_params(sql::kFindRequest, document.kind, document.project, request.id);
            if (!found.empty()) {
              if (found[0][9].as<std::string>() == request.payload_digest)
                return ToDocument(found[0]);
              return RequestIdReused(request.id);
            }
          }
          return Error(absl::StatusCode::kAlreadyExists, "RESOURCE_EXISTS",
                       absl::StrCat(document.name, " exists"));
        });
  }

  absl::StatusOr<Document> Get(const std::string& kind, const std::string& name) override {
    return pg::Transact(pool_, {.name = "get_resource", .read_only = true},
                        [&](pqxx::transaction_base& txn) -> absl::StatusOr<Document> {
                          pqxx::result found = txn.exec_params(sql::kGetResource, kind, name);
                          if (found.empty()) return NotFound(name);
                          return ToDocument(found[0]);
                        });
  }

  absl::StatusOr<Document> Update(const Document& document) override {
    return pg::Transact(
        pool_, {.name = "update_resource"},
        [&](pqxx::transaction_base& txn) -> absl::StatusOr<Document> {
          pqxx::result updated = txn.exec_params(sql::kUpdateResource, document.name,
                                                 document.version, document.state, document.body);
          if (!updated.empty()) return ToDocument(updated[0]);
          if (txn.exec_params(sql::kGetResource, document.kind, document.name).empty())
            return NotFound(document.name);
          return Error(absl::StatusCode::kAborted, "ETAG_MISMATCH",
                       absl::StrCat(document.name, " has changed; read it again"));
        });
  }

  absl::StatusOr<std::vector<Document>> List(const DocumentQuery& query) override {
    return pg::Transact(pool_, {.name = "list_resources", .read_only = true},
                        [&](pqxx::transaction_base& txn) -> absl::StatusOr<std::vector<Document>> {
                          std::vector<Document> list;
                          for (const auto& row : txn.exec_params(
                                   sql::kListResources, query.kind, query.project, query.task,
                                   query.parent, query.state, query.before, query.limit)) {
                            list.push_back(ToDocument(row));
                          }
                          return list;
                        });
  }

  absl::StatusOr<std::optional<Document>> ClaimRun(const std::string& owner,
                                                   absl::Duration ttl) override {
    return pg::Transact(
        pool_, {.name = "claim_run"},
        [&](pqxx::transaction_base& txn) -> absl::StatusOr<std::optional<Document>> {
          pqxx::result claimed = txn.exec_params(sql::kClaimRun, owner, absl::ToDoubleSeconds(ttl));
          if (claimed.empty()) return std::nullopt;
          return ToDocument(claimed[0]);
        });
  }

  absl::Status RenewClaim(const std::string& run, const std::string& owner,
                          absl::Duration ttl) override {
    return pg::Transact(
        pool_, {.name = "renew_claim"}, [&](pqxx::transaction_base& txn) -> absl::Status {
          if (!txn.exec_params(sql::kRenewClaim, run, owner, absl::ToDoubleSeconds(ttl)).empty())
            return absl::OkStatus();
          return Error(absl::StatusCode::kAborted, "LEASE_LOST",
                       absl::StrCat("another process runs ", run));
        });
  }

  absl::Status ReleaseClaim(const std::string& run, const std::string& owner) override {
    return pg::Transact(pool_, {.name = "release_claim"},
                        [&](pqxx::transaction_base& txn) -> absl::Status {
                          txn.exec_params(sql::kReleaseClaim, run, owner);
                          return absl::OkStatus();
                        });
  }

  absl::Status PutSuiteRows(const std::string& suite_digest,
                            const std::vector<SuiteRow>& rows) override {
    return pg::Transact(pool_, {.name = "put_suite_rows"},
                        [&](pqxx::transaction_base& txn) -> absl::Status {
                          int position = 0;
                          for (const SuiteRow& row : rows)
                            txn.exec_params(sql::kPutSuiteRow, suite_digest, position++,
                                            row.row_digest, Encode(row));
                          return absl::OkStatus();
                        });
  }

  absl::StatusOr<std::vector<SuiteRow>> ListSuiteRows(const std::string& suite_digest) override {
    return pg::Transact(
        pool_, {.name = "list_suite_rows", .read_only = true},
        [&](pqxx::transaction_base& txn) -> absl::StatusOr<std::vector<SuiteRow>> {
          std::vector<SuiteRow> rows;
          for (const auto& row : txn.exec_params(sql::kListSuiteRows, suite_digest)) {
            ASSIGN_OR_RETURN(SuiteRow decoded,
                             Decode<SuiteRow>(row[0].as<std::string>(), "suite row"));
            rows.push_back(std::move(decoded));
          }
          return rows;
        });
  }

  absl::StatusOr<bool> PutAnswer(const Answer& answer) override {
    return pg::Transact(
        pool_, {.name = "put_answer"}, [&](pqxx::transaction_base& txn) -> absl::StatusOr<bool> {
          std::optional<double> cost =
              answer.cost_known ? std::optional<double>(answer.cost) : std::nullopt;
          return !txn.exec_params(sql::kPutAnswer, answer.suite_digest, answer.row_digest,
                                  answer.system_digest, answer.repeat, answer.run,
                                  ToText(answer.output), answer.finish_reason, answer.error,
                                  answer.usage.input, answer.usage.cached_input,
                                  answer.usage.output, cost, answer.latency_seconds,
                                  answer.first_token_seconds, answer.cached, answer.revision,
                                  pg::ToTimestamp(answer.time))
                      .empty();
        });
  }

  absl::StatusOr<std::vector<Answer>> ListAnswers(const std::string& suite_digest,
                                                  const std::vector<std::string>& system_digests,
                                                  int repeats,
                                                  const std::optional<AnswerKey>& after,
                                                  int limit) override {
    return pg::Transact(
        pool_, {.name = "list_answers", .read_only = true},
        [&](pqxx::transaction_base& txn) -> absl::StatusOr<std::vector<Answer>> {
          AnswerKey start = after.value_or(AnswerKey{});
          std::vector<Answer> answers;
          for (const auto& row : txn.exec_params(
                   sql::kListAnswers, suite_digest, pg::ArrayLiteral(system_digests), repeats,
                   start.row_digest, start.system_digest, start.repeat, limit)) {
            ASSIGN_OR_RETURN(Answer answer, ToAnswer(row));
            answers.push_back(std::move(answer));
          }
          return answers;
        });
  }

  absl::StatusOr<int64_t> CountSystemsAsked(const std::string& suite_digest) override {
    return pg::Transact(
        pool_, {.name = "count_systems_asked", .read_only = true},
        [&](pqxx::transaction_base& txn) -> absl::StatusOr<int64_t> {
          return txn.exec_params(sql::kCountSystemsAsked, suite_digest)[0][0].as<int64_t>();
        });
  }

  absl::Status PutJudgement(const std::string& suite_digest, const Judgement& judgement) override {
    return pg::Transact(
        pool_, {.name = "put_judgement"}, [&](pqxx::transaction_base& txn) -> absl::Status {
          txn.exec_params(sql::kPutJudgement, suite_digest, judgement.row_digest,
                          judgement.annotator, judgement.verdict, ToText(judgement.comment),
                          pg::ToTimestamp(judgement.time));
          return absl::OkStatus();
        });
  }

  absl::StatusOr<std::vector<Judgement>> ListJudgements(const std::string& suite_digest) override {
    return pg::Transact(
        pool_, {.name = "list_judgements", .read_only = true},
        [&](pqxx::transaction_base& txn) -> absl::StatusOr<std::vector<Judgement>> {
          std::vector<Judgement> list;
          for (const auto& row : txn.exec_params(sql::kListJudgements, suite_digest)) {
            ASSIGN_OR_RETURN(absl::Time time, pg::FromTimestamp(row[4].as<std::string>()));
            list.push_back({.row_digest = row[0].as<std::string>(),
                            .annotator = row[1].as<std::string>(),
                            .verdict = row[2].as<std::string>(),
                            .comment = row[3].as<std::string>(),
                            .time = time});
          }
          return list;
        });
  }

  absl::Status AppendEvent(const std::string& resource, const Event& event) override {
    return pg::Transact(pool_, {.name = "append_event"},
                        [&](pqxx::transaction_base& txn) -> absl::Status {
                          txn.exec_params(sql::kLockResource, resource);
                          txn.exec_params(sql::kAppendEvent, resource, pg::ToTimestamp(event.time),
                                          event.type, ToText(event.message), event.data);
                          return absl::OkStatus();
                        });
  }

  absl::StatusOr<std::vector<Event>> ListEvents(const std::string& resource, int64_t after,
                                                int limit) override {
    return pg::Transact(
        pool_, {.name = "list_events", .read_only = true},
        [&](pqxx::transaction_base& txn) -> absl::StatusOr<std::vector<Event>> {
          std::vector<Event> list;
          for (const auto& row : txn.exec_params(sql::kListEvents, resource, after, limit)) {
            ASSIGN_OR_RETURN(absl::Time time, pg::FromTimestamp(row[1].as<std::string>()));
            list.push_back({.sequence = row[0].as<int64_t>(),
                            .time = time,
                            .type = row[2].as<std::string>(),
                            .message = row[3].as<std::string>(),
                            .data = row[4].as<std::string>()});
          }
          return list;
        });
  }

 private:
  pg::Pool& pool_;
};

}  // namespace

std::unique_ptr<Store> NewPgStore(pg::Pool& pool) { return std::make_unique<PgStore>(pool); }

pg::SchemaMigrations EvaluationMigrations() { return Migrations(); }

}  // namespace crossover::evaluation
