// Where evaluation keeps what it knows. Thread-safe. Implementations: PgStore, FakeStore (both pass
// the store conformance suite).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/evaluation/domain/run.h"
#include "services/evaluation/domain/suite.h"

namespace crossover::evaluation {

// Kinds of documents; the states of each are checked by the store.
inline constexpr char kSuiteKind[] = "suite";
inline constexpr char kRunKind[] = "run";
inline constexpr char kComparisonKind[] = "comparison";
inline constexpr char kLadderKind[] = "ladder";
inline constexpr char kDecisionKind[] = "decision";

// A resource as the store sees it: what it is found by, and its JSON.
struct Document {
  std::string kind;
  std::string name;     // full resource name, unique
  std::string project;  // projects/*
  std::string task;     // projects/*/tasks/*; may be empty
  std::string
      parent;  // collection below the project it is listed in, e.g. a suite's slug; may be empty
  std::string state;
  std::string body;
  int64_t version = 0;   // (out) rises with every update
  int64_t sequence = 0;  // (out) order of creation
};

// Idempotency of a create. `id` empty = none.
struct RequestKey {
  std::string id;
  std::string payload_digest;
};

struct DocumentQuery {
  std::string kind;
  std::string project;         // empty = all
  std::string task;            // empty = all
  std::string parent;          // empty = all
  std::string state;           // empty = all
  int64_t before = INT64_MAX;  // sequence; newest first
  int limit = 50;
};

struct Event {
  int64_t sequence = 0;  // (out) from 1 without gaps, per resource
  absl::Time time;
  std::string type;
  std::string message;
  std::string data = "{}";  // JSON object
};

struct AnswerKey {
  std::string row_digest;
  std::string system_digest;
  int repeat = 0;
  friend auto operator<=>(const AnswerKey&, const AnswerKey&) = default;
};

class Store {
 public:
  virtual ~Store() = default;

  // Stores a new document with version 1 and returns it. A repeated request gives the stored
  // document (InvalidArgument REQUEST_ID_REUSED if its payload differed). AlreadyExists
  // RESOURCE_EXISTS if the name is taken.
  virtual absl::StatusOr<Document> Create(const Document& document, const RequestKey& request) = 0;
  // NotFound RESOURCE_NOT_FOUND.
  virtual absl::StatusOr<Document> Get(const std::string& kind, const std::string& name) = 0;
  // Replaces state and body if `document.version` is the stored one. Aborted ETAG_MISMATCH
  // otherwise.
  virtual absl::StatusOr<Document> Update(const Document& document) = 0;
  virtual absl::StatusOr<std::vector<Document>> List(const DocumentQuery& query) = 0;

  // Gives the oldest QUEUED run, or a RUNNING one whose claim has expired, to `owner` for `ttl`.
  // nullopt if there is none.
  virtual absl::StatusOr<std::optional<Document>> ClaimRun(const std::string& owner,
                                                           absl::Duration ttl) = 0;
  // Aborted LEASE_LOST if the claim is no longer `owner`'s.
  virtual absl::Status RenewClaim(const std::string& run, const std::string& owner,
                                  absl::Duration ttl) = 0;
  virtual absl::Status ReleaseClaim(const std::string& run, const std::string& owner) = 0;

  // Idempotent: rows of a digest never change.
  virtual absl::Status PutSuiteRows(const std::string& suite_digest,
                                    const std::vector<SuiteRow>& rows) = 0;
  virtual absl::StatusOr<std::vector<SuiteRow>> ListSuiteRows(const std::string& suite_digest) = 0;

  // True if stored; false if an answer with this (suite, row, system, repeat) was there already,
  // which is kept. An error of another run is no answer: it is replaced.
  virtual absl::StatusOr<bool> PutAnswer(const Answer& answer) = 0;
  // Of these systems, repeats below `repeats`; ordered by (row, system, repeat), after `after`;
  // limit 0 = all.
  virtual absl::StatusOr<std::vector<Answer>> ListAnswers(
      const std::string& suite_digest, const std::vector<std::string>& system_digests, int repeats,
      const std::optional<AnswerKey>& after, int limit) = 0;
  // Systems that were asked rows of the suite.
  virtual absl::StatusOr<int64_t> CountSystemsAsked(const std::string& suite_digest) = 0;

  virtual absl::Status PutJudgement(const std::string& suite_digest,
                                    const Judgement& judgement) = 0;
  virtual absl::StatusOr<std::vector<Judgement>> ListJudgements(
      const std::string& suite_digest) = 0;

  virtual absl::Status AppendEvent(const std::string& resource, const Event& event) = 0;
  virtual absl::StatusOr<std::vector<Event>> ListEvents(const std::string& resource, int64_t after,
                                                        int limit) = 0;
};

}  // namespace crossover::evaluation
