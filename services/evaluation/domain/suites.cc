#include "services/evaluation/domain/suites.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/evaluation/domain/documents.h"

namespace crossover::evaluation {

absl::StatusOr<Suite> Suites::Freeze(const FreezeRequest& request) {
  Suite suite = request.suite;
  std::vector<SuiteRow> rows = request.inline_rows;
  if (!suite.dataset.dataset_version.empty()) {
    ASSIGN_OR_RETURN(std::vector<dataset::Row> sealed,
                     rows_.Rows(suite.dataset.dataset_version, suite.dataset.split));
    sealed = Draw(std::move(sealed), suite.dataset.max_rows, suite.dataset.seed);
    rows.clear();
    std::set<std::string> seen;
    for (const dataset::Row& row : sealed) {
      ASSIGN_OR_RETURN(SuiteRow suite_row, ToSuiteRow(row, suite.cluster_by));
      if (seen.insert(suite_row.row_digest).second) rows.push_back(std::move(suite_row));
    }
  }
  ASSIGN_OR_RETURN(suite, evaluation::Freeze(std::move(suite), rows));
  suite.create_time = clock_.Now();
  if (request.validate_only) return suite;
  RETURN_IF_ERROR(store_.PutSuiteRows(suite.digest, rows));
  absl::StatusOr<Document> stored = store_.Create(ToDocument(suite), request.request);
  if (absl::IsAlreadyExists(stored.status())) stored = store_.Get(kSuiteKind, suite.name);
  if (!stored.ok()) return stored.status();
  return FromDocument<Suite>(*stored);
}

absl::StatusOr<Suite> Suites::Get(const std::string& name) {
  ASSIGN_OR_RETURN(Document document, store_.Get(kSuiteKind, name));
  return FromDocument<Suite>(document);
}

absl::StatusOr<std::vector<SuiteRow>> Suites::Rows(const Suite& suite) {
  return store_.ListSuiteRows(suite.digest);
}

absl::StatusOr<int64_t> Suites::TimesUsed(const Suite& suite) {
  return store_.CountSystemsAsked(suite.digest);
}

absl::StatusOr<Judgement> Suites::Judge(const std::string& name, Judgement judgement) {
  ASSIGN_OR_RETURN(Suite suite, Get(name));
  ASSIGN_OR_RETURN(std::vector<SuiteRow> rows, Rows(suite));
  bool known = std::any_of(rows.begin(), rows.end(), [&](const SuiteRow& row) {
    return row.row_digest == judgement.row_digest;
  });
  if (!known) {
    return Error(
        absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
        absl::StrCat("judgement.row_digest: ", judgement.row_digest, " is no row of ", name));
  }
  judgement.time = clock_.Now();
  RETURN_IF_ERROR(store_.PutJudgement(suite.digest, judgement));
  return judgement;
}

}  // namespace crossover::evaluation
