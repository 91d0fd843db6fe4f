#include "services/shadow_router/domain/mirror.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/json/digest.h"
#include "common/status/absl_view.h"
#include "services/shadow_router/domain/hash.h"

namespace crossover::router {
namespace {

// Of all experiments since the start. Then they are forgotten: a client that asks again counting
// twice is better than a gate that sees nothing more.
constexpr size_t kMaxEventClusters = 100'000;
// About four bytes of English a token. Only for the budget's reservation; what was used settles it.
constexpr int64_t kBytesPerToken = 4;

BudgetMeter::Amount Expected(const MirrorJob& job, const Target& target) {
  const Usage usage{.input = static_cast<int64_t>(job.request.body.size()) / kBytesPerToken,
                    .cached_input = 0,
                    .output = std::max<int64_t>(job.served.usage.output, 1)};
  return {usage.input + usage.output, CostUsd(target.prices, usage)};
}

bool CandidateWasAsked(const MirrorJob& job) {
  const TrafficPlan& plan = job.route->plan;
  return !plan.self_compare && job.served_variant == plan.candidate;
}

// The candidate was to answer and failed; the reference answered instead.
bool ReferenceStoodIn(const MirrorJob& job) {
  return job.from_fallback && job.assignment.canary && job.failed_first &&
         job.served_variant == job.route->plan.reference;
}

std::string TextOf(const Answer& answer) {
  return answer.tool_calls.empty() ? answer.content : answer.content + answer.tool_calls;
}

}  // namespace

size_t MirrorJob::Bytes() const {
  return request.body.size() + served.content.size() + served.tool_calls.size() + sizeof(MirrorJob);
}

Validity TruthOf(const MirrorJob& job) {
  if (job.from_fallback && !ReferenceStoodIn(job)) return Validity::kFallback;
  if (!CandidateWasAsked(job)) {
    if (const Validity own = JudgeReference(job.served); own != Validity::kValid) return own;
  }
  return job.request.has_tool_results ? Validity::kToolSideEffect : Validity::kValid;
}

Mirror::Mirror(MirrorOptions options, Deps deps) : options_(options), deps_(deps) {}

Mirror::~Mirror() { Stop(); }

void Mirror::SetObserver(Observer observer) { observer_ = std::move(observer); }

void Mirror::Start() {
  for (int i = 0; i < options_.workers; ++i) threads_.emplace_back([this] { Work(); });
}

void Mirror::Drop(const MirrorJob& job, DropReason reason) {
  deps_.books.Dropped(job.key, reason);
  if (observer_) observer_(job.route->route.name, "dropped", ToString(reason));
}

void Mirror::Fail(const MirrorJob& job, std::string_view reason) {
  deps_.books.Failed(job.key, reason);
  if (observer_) observer_(job.route->route.name, "failed", reason);
}

void Mirror::Offer(MirrorJob job) {
  if (job.served.status == CallStatus::kCancelled) return Drop(job, DropReason::kCancelled);
  if (job.request.no_mirror) return Drop(job, DropReason::kNoConsent);
  if (job.served.status == CallStatus::kTooLarge) return Drop(job, DropReason::kTooLarge);
  // What the candidate did to its users is evidence; without the reference's answer there is none.
  const bool candidates_own = CandidateWasAsked(job) && !job.from_fallback;
  if (job.served.status != CallStatus::kOk && !candidates_own) return Fail(job, "primary_failed");
  const size_t bytes = job.Bytes();
  if (bytes > options_.max_item_bytes) return Drop(job, DropReason::kTooLarge);
  DropReason refused = DropReason::kQueueFull;
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_) {
      refused = DropReason::kCancelled;
    } else if (blocked_) {
      refused = DropReason::kBreakerOpen;
    } else if (bytes_ + bytes <= options_.max_queue_bytes) {
      bytes_ += bytes;
      queue_.emplace_back(bytes, std::move(job));
      return;
    }
  }
  Drop(job, refused);
}

void Mirror::Work() {
  while (true) {
    std::pair<size_t, MirrorJob> item;
    {
      absl::MutexLock lock(&mutex_);
      const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        return stopping_ || !queue_.empty();
      };
      mutex_.Await(absl::Condition(&ready));
      if (queue_.empty()) return;
      item = std::move(queue_.front());
      queue_.pop_front();
      ++running_;
      if (stopping_) item.second.served.status = CallStatus::kCancelled;
    }
    if (item.second.served.status == CallStatus::kCancelled) {
      Drop(item.second, DropReason::kCancelled);
    } else {
      Run(item.second);
    }
    absl::MutexLock lock(&mutex_);
    // The bytes are held until the pair is booked: what a stalled shadow keeps in memory counts
    // against the bound.
    bytes_ -= item.first;
    --running_;
  }
}

bool Mirror::Consents(const MirrorJob& job, const ResolvedVariant& variant) const {
  if (!variant.target.leaves_house) return true;
  const std::vector<std::string>& allowed = job.route->task.mirror_to;
  return std::find(allowed.begin(), allowed.end(), variant.system.model.upstream) != allowed.end();
}

Mirror::Called Mirror::CallLeg(const MirrorJob& job, const std::string& name) {
  const ResolvedVariant* variant = job.route->Find(name);
  if (variant == nullptr) return {.failed = "unresolved"};
  if (!Consents(job, *variant)) return {.dropped = DropReason::kNoConsent};
  absl::StatusOr<std::string> body = BodyFor(*variant, job.request, Purpose::kMirror);
  if (!body.ok()) return {.failed = "prompt"};
  const BudgetMeter::Amount expected = Expected(job, variant->target);
  const std::string& experiment = job.key.experiment;
  if (!deps_.budget.Reserve(experiment, job.route->experiment->budgets, expected))
    return {.dropped = DropReason::kBudget};
  CircuitBreaker& breaker = deps_.breakers.For(variant->target.name);
  if (!breaker.Allow()) {
    deps_.budget.Settle(experiment, expected, {});
    return {.dropped = DropReason::kBreakerOpen};
  }
  UpstreamCall call{
      .target = variant->target,
      .body = *std::move(body),
      .traceparent = job.trace_id.empty()
                         ? ""
                         : "00-" + job.trace_id + "-" + ShortHash(job.request_id + name) + "-01",
      .request_id = job.request_id,
      .caller = job.caller,
      .max_answer_bytes = options_.max_answer_bytes};
  call.target.timeout = std::min(call.target.timeout, options_.timeout);
  Answer answer = deps_.upstream.Call(call);
  deps_.budget.Settle(
      experiment, expected,
      {answer.usage.input + answer.usage.output, CostUsd(variant->target.prices, answer.usage)});
  // A request that the upstream refuses (4xx) says nothing about the upstream's health.
  const bool refused = answer.status == CallStatus::kHttpError && answer.http_status < 500 &&
                       answer.http_status != 429;
  switch (answer.status) {
    case CallStatus::kCancelled:
      breaker.Unknown();
      return {.dropped = DropReason::kCancelled};
    case CallStatus::kTooLarge:
      breaker.Success();
      return {.dropped = DropReason::kTooLarge};
    case CallStatus::kOk:
      breaker.Success();
      break;
    default:
      refused ? breaker.Success() : breaker.Failure();
  }
  return {.answer = std::move(answer)};
}

std::optional<Answer> Mirror::Needed(const MirrorJob& job, const std::string& variant,
                                     bool is_evidence) {
  Called called = CallLeg(job, variant);
  if (called.dropped) {
    Drop(job, *called.dropped);
    return std::nullopt;
  }
  if (!called.answer) {
    Fail(job, called.failed);
    return std::nullopt;
  }
  if (called.answer->status != CallStatus::kOk && !is_evidence) {
    if (CandidateWasAsked(job)) BookSameRequest(job, *called.answer, job.served);
    Fail(job, absl::AsciiStrToLower(ToAbsl(ToString(called.answer->status))));
    return std::nullopt;
  }
  return std::move(called.answer);
}

Leg Mirror::MakeLeg(const MirrorJob& job, LegRole role, const ResolvedVariant& variant,
                    const Answer& answer, bool served) const {
  const std::string text = TextOf(answer);
  Leg leg{.role = role,
          .variant = variant.name,
          .served = served,
          .status = answer.status,
          .http_status = answer.http_status,
          .error = answer.error,
          .output_digest = DigestOf(text),
          .usage = answer.usage,
          .cost_usd = CostUsd(variant.target.prices, answer.usage),
          .streamed = answer.streamed,
          .ttft = answer.ttft,
          .latency = answer.latency,
          .finish_reason = answer.finish_reason,
          .system_fingerprint = answer.system_fingerprint,
          .format_valid = !job.route->validator ||
                          (answer.IsWhole() && job.route->validator->Check(answer.content).ok())};
  if (job.route->task.record == RecordPolicy::kFull) {
    leg.output = text;
    leg.output_is_complete = true;
  } else if (job.route->task.record == RecordPolicy::kRedacted) {
    // Fails closed: text that can't be redacted is not kept.
    if (const auto redacted = deps_.redactor.Redact(text); redacted.ok()) {
      leg.output = redacted->text;
      leg.output_is_complete = redacted->redactions == 0;
    }
  }
  return leg;
}

std::optional<Answers> Mirror::Collect(const MirrorJob& job) {
  const TrafficPlan& plan = job.route->plan;
  Answers answers;
  if (plan.self_compare) {
    answers.primary = job.served;
    answers.secondary = Needed(job, plan.reference, /*is_evidence=*/false);
    if (!answers.secondary) return std::nullopt;
    return answers;
  }
  if (CandidateWasAsked(job)) {
    answers.candidate = job.served;
    std::optional<Answer> primary = Needed(job, plan.reference, /*is_evidence=*/false);
    if (!primary) return std::nullopt;
    answers.primary = *std::move(primary);
  } else {
    answers.primary = job.served;
    answers.candidate = ReferenceStoodIn(job) ? job.failed_first
                                              : Needed(job, plan.candidate, /*is_evidence=*/true);
    if (!answers.candidate) return std::nullopt;
  }
  if (job.assignment.second_sample) {
    // The pair is worth keeping without the reference's own noise.
    std::optional<Answer> second = CallLeg(job, plan.reference).answer;
    if (second && second->status == CallStatus::kOk) answers.secondary = std::move(second);
  }
  return answers;
}

bool Mirror::CouldCall(const MirrorJob& job, const std::string& name) {
  const ResolvedVariant* variant = job.route->Find(name);
  if (variant == nullptr || !Consents(job, *variant)) return false;
  const BudgetMeter::Amount expected = Expected(job, variant->target);
  const std::string& experiment = job.key.experiment;
  if (!deps_.budget.Reserve(experiment, job.route->experiment->budgets, expected)) return false;
  deps_.budget.Settle(experiment, expected, {});
  CircuitBreaker& breaker = deps_.breakers.For(variant->target.name);
  if (!breaker.Allow()) return false;
  breaker.Success();  // It has just answered this very request.
  return true;
}

void Mirror::BookSameRequest(const MirrorJob& job, const Answer& reference,
                             const Answer& candidate) {
  const TrafficPlan& plan = job.route->plan;
  if (plan.self_compare || plan.canary_weight != kBuckets) return;
  // Whoever answers users may take longer than the mirror lets the other take.
  const ResolvedVariant* variant = job.route->Find(plan.reference);
  const bool cut_short =
      job.served.streamed || (variant != nullptr && variant->target.timeout > options_.timeout);
  if (cut_short && reference.status == CallStatus::kTimeout) return;
  const std::vector<BadEvent> of_reference = BadEventsOf(*job.route, reference);
  const std::vector<BadEvent> of_candidate = BadEventsOf(*job.route, candidate);
  if (of_reference == of_candidate) return;
  if (ReferenceStoodIn(job) && !CouldCall(job, plan.reference)) return;
  {
    absl::MutexLock lock(&mutex_);
    if (clusters_.size() >= kMaxEventClusters) clusters_.clear();
    if (!clusters_.emplace(plan.experiment, plan.comparison, job.cluster).second) return;
  }
  const ArmKey key{plan.experiment, plan.comparison, kSameRequest};
  if (!of_reference.empty()) deps_.books.Served(key, /*canary=*/false, of_reference);
  if (!of_candidate.empty()) deps_.books.Served(key, /*canary=*/true, of_candidate);
}

Pair Mirror::NewPair(const MirrorJob& job) const {
  return {.id = job.request_id,
          .route = job.route->route.name,
          .experiment = job.key.experiment,
          .comparison = job.key.comparison,
          .request_id = job.request_id,
          .completion_id = job.served.completion_id,
          .cluster = job.cluster,
          .trace_id = job.trace_id,
          .time = job.time,
          .self_compare = job.route->plan.self_compare,
          .provenance = job.route->CurrentProvenance(),
          .input_digest = DigestOf(job.request.Raw("messages"))};
}

void Mirror::Book(const MirrorJob& job, Pair pair) {
  deps_.books.Paired(job.key, static_cast<int64_t>(job.Bytes()), std::move(pair));
  if (observer_) observer_(job.route->route.name, "paired", "");
}

void Mirror::Run(const MirrorJob& job) {
  const ResolvedRoute& route = *job.route;
  const TrafficPlan& plan = route.plan;
  const bool candidate_served = CandidateWasAsked(job);
  Pair pair = NewPair(job);
  pair.validity = TruthOf(job);
  if (pair.validity != Validity::kValid) {
    const ResolvedVariant* served = route.Find(job.served_variant);
    if (served == nullptr) return Fail(job, "unresolved");
    const LegRole role = candidate_served ? LegRole::kCandidate : LegRole::kPrimary;
    pair.legs.push_back(MakeLeg(job, role, *served, job.served, /*served=*/true));
    return Book(job, std::move(pair));
  }
  const std::optional<Answers> answers = Collect(job);
  if (!answers) return;
  pair.validity = JudgeReference(answers->primary);
  if (plan.self_compare && pair.validity == Validity::kValid)
    pair.validity = JudgeReference(*answers->secondary);
  if (answers->candidate) BookSameRequest(job, answers->primary, *answers->candidate);
  const ResolvedVariant& reference = *route.Find(plan.reference);
  pair.legs.push_back(
      MakeLeg(job, LegRole::kPrimary, reference, answers->primary, !candidate_served));
  if (answers->candidate) {
    pair.legs.push_back(MakeLeg(job, LegRole::kCandidate, *route.Find(plan.candidate),
                                *answers->candidate, candidate_served));
  }
  if (answers->secondary) {
    pair.legs.push_back(MakeLeg(job, LegRole::kSecondary, reference, *answers->secondary, false));
  }
  CompareAndGrade(route, *answers, job.request.label, deps_.clock.Now(), pair);
  Book(job, std::move(pair));
}

void Mirror::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (!threads_.empty()) deps_.upstream.Shutdown();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  std::deque<std::pair<size_t, MirrorJob>> rest;
  {
    absl::MutexLock lock(&mutex_);
    rest.swap(queue_);
    bytes_ = 0;
  }
  for (const auto& [bytes, job] : rest) Drop(job, DropReason::kCancelled);
}

void Mirror::SetBlocked(bool blocked) {
  absl::MutexLock lock(&mutex_);
  blocked_ = blocked;
}

size_t Mirror::queued_bytes() const {
  absl::MutexLock lock(&mutex_);
  return bytes_;
}

void Mirror::WaitUntilIdle() {
  absl::MutexLock lock(&mutex_);
  const auto idle = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return queue_.empty() && running_ == 0;
  };
  mutex_.Await(absl::Condition(&idle));
}

}  // namespace crossover::router
