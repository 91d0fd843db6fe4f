#include "services/evaluation/domain/fake_store.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/id/request_id.h"
#include "common/status/error.h"

namespace crossover::evaluation {
namespace {

absl::Status NotFound(const std::string& name) {
  return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
               absl::StrCat(name, " does not exist"));
}

bool Wanted(const DocumentQuery& query, const Document& document) {
  return document.kind == query.kind &&
         (query.project.empty() || document.project == query.project) &&
         document.sequence < query.before && (query.task.empty() || document.task == query.task) &&
         (query.parent.empty() || document.parent == query.parent) &&
         (query.state.empty() || document.state == query.state);
}

}  // namespace

absl::StatusOr<Document> FakeStore::Create(const Document& document, const RequestKey& request) {
  absl::MutexLock lock(&mutex_);
  std::string key = absl::StrCat(document.kind, " ", document.project, " ", request.id);
  if (auto found = requests_.find(key); !request.id.empty() && found != requests_.end()) {
    if (found->second.first == request.payload_digest) return documents_.at(found->second.second);
    return RequestIdReused(request.id);
  }
  if (documents_.count(document.name)) {
    return Error(absl::StatusCode::kAlreadyExists, "RESOURCE_EXISTS",
                 absl::StrCat(document.name, " exists"));
  }
  Document stored = document;
  stored.version = 1;
  stored.sequence = next_sequence_++;
  documents_[stored.name] = stored;
  if (!request.id.empty()) requests_[key] = {request.payload_digest, stored.name};
  return stored;
}

absl::StatusOr<Document> FakeStore::Get(const std::string& kind, const std::string& name) {
  absl::MutexLock lock(&mutex_);
  auto found = documents_.find(name);
  if (found == documents_.end() || found->second.kind != kind) return NotFound(name);
  return found->second;
}

absl::StatusOr<Document> FakeStore::Update(const Document& document) {
  absl::MutexLock lock(&mutex_);
  auto found = documents_.find(document.name);
  if (found == documents_.end()) return NotFound(document.name);
  if (found->second.version != document.version) {
    return Error(absl::StatusCode::kAborted, "ETAG_MISMATCH",
                 absl::StrCat(document.name, " has changed; read it again"));
  }
  found->second.state = document.state;
  found->second.body = document.body;
  ++found->second.version;
  return found->second;
}

absl::StatusOr<std::vector<Document>> FakeStore::List(const DocumentQuery& query) {
  absl::MutexLock lock(&mutex_);
  std::vector<Document> list;
  for (const auto& [name, document] : documents_) {
    if (Wanted(query, document)) list.push_back(document);
  }
  std::sort(list.begin(), list.end(),
            [](const Document& a, const Document& b) { return a.sequence > b.sequence; });
  if (list.size() > static_cast<size_t>(query.limit)) list.resize(static_cast<size_t>(query.limit));
  return list;
}

absl::StatusOr<std::optional<Document>> FakeStore::ClaimRun(const std::string& owner,
                                                            absl::Duration ttl) {
  absl::MutexLock lock(&mutex_);
  const Document* oldest = nullptr;
  for (const auto& [name, document] : documents_) {
    if (document.kind != kRunKind || (document.state != "QUEUED" && document.state != "RUNNING"))
      continue;
    auto claim = claims_.find(name);
    if (claim != claims_.end() && claim->second.expires > clock_.Now()) continue;
    if (oldest == nullptr || document.sequence < oldest->sequence) oldest = &document;
  }
  if (oldest == nullptr) return std::nullopt;
  claims_[oldest->name] = {owner, clock_.Now() + ttl};
  return *oldest;
}

absl::Status FakeStore::RenewClaim(const std::string& run, const std::string& owner,
                                   absl::Duration ttl) {
  absl::MutexLock lock(&mutex_);
  auto claim = claims_.find(run);
  if (claim == claims_.end() || claim->second.owner != owner) {
    return Error(absl::StatusCode::kAborted, "LEASE_LOST",
                 absl::StrCat("another process runs ", run));
  }
  claim->second.expires = clock_.Now() + ttl;
  return absl::OkStatus();
}

absl::Status FakeStore::ReleaseClaim(const std::string& run, const std::string& owner) {
  absl::MutexLock lock(&mutex_);
  auto claim = claims_.find(run);
  if (claim != claims_.end() && claim->second.owner == owner) claims_.erase(claim);
  return absl::OkStatus();
}

absl::Status FakeStore::PutSuiteRows(const std::string& suite_digest,
                                     const std::vector<SuiteRow>& rows) {
  absl::MutexLock lock(&mutex_);
  rows_.try_emplace(suite_digest, rows);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<SuiteRow>> FakeStore::ListSuiteRows(const std::string& suite_digest) {
  absl::MutexLock lock(&mutex_);
  return rows_[suite_digest];
}

absl::StatusOr<bool> FakeStore::PutAnswer(const Answer& answer) {
  absl::MutexLock lock(&mutex_);
  AnswerKey key{answer.row_digest, answer.system_digest, answer.repeat};
  auto [stored, is_new] = answers_[answer.suite_digest].emplace(key, answer);
  if (is_new || IsReusable(stored->second, answer.run)) return is_new;
  stored->second = answer;
  return true;
}

absl::StatusOr<std::vector<Answer>> FakeStore::ListAnswers(
    const std::string& suite_digest, const std::vector<std::string>& system_digests, int repeats,
    const std::optional<AnswerKey>& after, int limit) {
  absl::MutexLock lock(&mutex_);
  std::vector<Answer> list;
  for (const auto& [key, answer] : answers_[suite_digest]) {
    if (after && key <= *after) continue;
    if (key.repeat >= repeats) continue;
    if (std::find(system_digests.begin(), system_digests.end(), key.system_digest) ==
        system_digests.end())
      continue;
    list.push_back(answer);
    if (limit > 0 && list.size() == static_cast<size_t>(limit)) break;
  }
  return list;
}

absl::StatusOr<int64_t> FakeStore::CountSystemsAsked(const std::string& suite_digest) {
  absl::MutexLock lock(&mutex_);
  std::set<std::string> systems;
  for (const auto& [key, answer] : answers_[suite_digest]) systems.insert(key.system_digest);
  return static_cast<int64_t>(systems.size());
}

absl::Status FakeStore::PutJudgement(const std::string& suite_digest, const Judgement& judgement) {
  absl::MutexLock lock(&mutex_);
  auto& list = judgements_[suite_digest];
  for (Judgement& existing : list) {
    if (existing.row_digest == judgement.row_digest && existing.annotator == judgement.annotator) {
      existing = judgement;
      return absl::OkStatus();
    }
  }
  list.push_back(judgement);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Judgement>> FakeStore::ListJudgements(const std::string& suite_digest) {
  absl::MutexLock lock(&mutex_);
  std::vector<Judgement> list = judgements_[suite_digest];
  std::sort(list.begin(), list.end(), [](const Judgement& a, const Judgement& b) {
    return std::tie(a.row_digest, a.annotator) < std::tie(b.row_digest, b.annotator);
  });
  return list;
}

absl::Status FakeStore::AppendEvent(const std::string& resource, const Event& event) {
  absl::MutexLock lock(&mutex_);
  auto& list = events_[resource];
  list.push_back(event);
  list.back().sequence = static_cast<int64_t>(list.size());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Event>> FakeStore::ListEvents(const std::string& resource, int64_t after,
                                                         int limit) {
  if (lost_events_ > 0) {
    --lost_events_;
    return Error(absl::StatusCode::kUnavailable, "DATABASE_UNAVAILABLE", "the database is away");
  }
  absl::MutexLock lock(&mutex_);
  std::vector<Event> list;
  for (const Event& event : events_[resource]) {
    if (event.sequence > after && list.size() < static_cast<size_t>(limit)) list.push_back(event);
  }
  return list;
}

}  // namespace crossover::evaluation
