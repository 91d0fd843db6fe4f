// A Store in memory, for tests.
#pragma once

#include <atomic>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "common/time/clock.h"
#include "services/evaluation/domain/store.h"

namespace crossover::evaluation {

// Thread-safe. Borrows the clock, which decides when claims expire.
class FakeStore final : public Store {
 public:
  explicit FakeStore(Clock& clock) : clock_(clock) {}

  absl::StatusOr<Document> Create(const Document& document, const RequestKey& request) override;
  absl::StatusOr<Document> Get(const std::string& kind, const std::string& name) override;
  absl::StatusOr<Document> Update(const Document& document) override;
  absl::StatusOr<std::vector<Document>> List(const DocumentQuery& query) override;
  absl::StatusOr<std::optional<Document>> ClaimRun(const std::string& owner,
                                                   absl::Duration ttl) override;
  absl::Status RenewClaim(const std::string& run, const std::string& owner,
                          absl::Duration ttl) override;
  absl::Status ReleaseClaim(const std::string& run, const std::string& owner) override;
  absl::Status PutSuiteRows(const std::string& suite_digest,
                            const std::vector<SuiteRow>& rows) override;
  absl::StatusOr<std::vector<SuiteRow>> ListSuiteRows(const std::string& suite_digest) override;
  absl::StatusOr<bool> PutAnswer(const Answer& answer) override;
  absl::StatusOr<std::vector<Answer>> ListAnswers(const std::string& suite_digest,
                                                  const std::vector<std::string>& system_digests,
                                                  int repeats,
                                                  const std::optional<AnswerKey>& after,
                                                  int limit) override;
  absl::StatusOr<int64_t> CountSystemsAsked(const std::string& suite_digest) override;
  absl::Status PutJudgement(const std::string& suite_digest, const Judgement& judgement) override;
  absl::StatusOr<std::vector<Judgement>> ListJudgements(const std::string& suite_digest) override;
  absl::Status AppendEvent(const std::string& resource, const Event& event) override;
  absl::StatusOr<std::vector<Event>> ListEvents(const std::string& resource, int64_t after,
                                                int limit) override;

  // The next `times` calls of ListEvents find the database away.
  void LoseEvents(int times) { lost_events_ = times; }
  int lost_events() const { return lost_events_; }

 private:
  struct Claim {
    std::string owner;
    absl::Time expires;
  };

  Clock& clock_;
  std::atomic<int> lost_events_ = 0;
  absl::Mutex mutex_;
  int64_t next_sequence_ ABSL_GUARDED_BY(mutex_) = 1;
  std::map<std::string, Document> documents_ ABSL_GUARDED_BY(mutex_);  // by name
  std::map<std::string, std::pair<std::string, std::string>> requests_
      ABSL_GUARDED_BY(mutex_);  // key -> payload, name
  std::map<std::string, Claim> claims_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::vector<SuiteRow>> rows_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::map<AnswerKey, Answer>> answers_ ABSL_GUARDED_BY(mutex_);  // by suite
  std::map<std::string, std::vector<Judgement>> judgements_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::vector<Event>> events_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crossover::evaluation
