#include "services/shadow_router/domain/mirror.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/json/digest.h"
#include "common/status/absl_view.h"
#include "services/shadow_router/domain/hash.h"
#include "services/shadow_router/domain/pair_builder.h"

namespace crossover::router {
namespace {

// About four bytes of English a token. Only for the budget's reservation; what was used settles it.
constexpr int64_t kBytesPerToken = 4;

BudgetMeter::Amount Expected(const MirrorJob& job, const Target& target) {
  const Usage usage{.input = static_cast<int64_t>(job.request.body.size()) / kBytesPerToken,
                    .cached_input = 0,
                    .output = std::max<int64_t>(job.served.usage.output, 1)};
  return {usage.input + usage.output, CostUsd(target.prices, usage)};
}

std::string TextOf(const Answer& answer) {
  return answer.tool_calls.empty() ? answer.content : answer.content + answer.tool_calls;
}

}  // namespace

size_t MirrorJob::Bytes() const {
  return request.body.size() + served.content.size() + served.tool_calls.size() + sizeof(MirrorJob);
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
  if (job.served.status != CallStatus::kOk) return Fail(job, "primary_failed");
  const size_t bytes = job.Bytes();
  if (bytes > options_.max_item_bytes) return Drop(job, DropReason::kTooLarge);
  std::optional<DropReason> refused;
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_) {
      refused = DropReason::kCancelled;
    } else if (blocked_) {
      refused = DropReason::kBreakerOpen;
    } else if (bytes_ + bytes > options_.max_queue_bytes) {
      refused = DropReason::kQueueFull;
    } else {
      bytes_ += bytes;
      queue_.emplace_back(bytes, std::move(job));
    }
  }
  if (refused) Drop(job, *refused);
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

std::optional<Answer> Mirror::CallLeg(const MirrorJob& job, const std::string& name) {
  const ResolvedVariant* variant = job.route->Find(name);
  if (variant == nullptr) {
    Fail(job, "unresolved");
    return std::nullopt;
  }
  if (!Consents(job, *variant)) {
    Drop(job, DropReason::kNoConsent);
    return std::nullopt;
  }
  absl::StatusOr<std::string> body = BodyFor(*variant, job.request, Purpose::kMirror);
  if (!body.ok()) {
    Fail(job, "prompt");
    return std::nullopt;
  }
  const BudgetMeter::Amount expected = Expected(job, variant->target);
  const std::string& experiment = job.key.experiment;
  if (!deps_.budget.Reserve(experiment, job.route->experiment->budgets, expected)) {
    Drop(job, DropReason::kBudget);
    return std::nullopt;
  }
  CircuitBreaker& breaker = deps_.breakers.For(variant->target.name);
  if (!breaker.Allow()) {
    deps_.budget.Settle(experiment, expected, {});
    Drop(job, DropReason::kBreakerOpen);
    return std::nullopt;
  }
  UpstreamCall call{
      .target = variant->target,
      .body = *std::move(body),
      .traceparent = job.trace_id.empty()
                         ? ""
                         : "00-" + job.trace_id + "-" + ShortHash(job.request_id + name) + "-01",
      .request_id = job.request_id,
      .max_answer_bytes = options_.max_answer_bytes};
  call.target.timeout = std::min(call.target.timeout, options_.timeout);
  Answer answer = deps_.upstream.Call(call);
  deps_.budget.Settle(
      experiment, expected,
      {answer.usage.input + answer.usage.output, CostUsd(variant->target.prices, answer.usage)});
  if (answer.status == CallStatus::kCancelled) {
    breaker.Unknown();
    Drop(job, DropReason::kCancelled);
    return std::nullopt;
  }
  if (answer.status == CallStatus::kTooLarge) {
    breaker.Success();
    Drop(job, DropReason::kTooLarge);
    return std::nullopt;
  }
  if (answer.status != CallStatus::kOk) {
    // A request that the upstream refuses (4xx) says nothing about the upstream's health.
    const bool refused = answer.status == CallStatus::kHttpError && answer.http_status < 500 &&
                         answer.http_status != 429;
    refused ? breaker.Success() : breaker.Failure();
    Fail(job, absl::AsciiStrToLower(ToAbsl(ToString(answer.status))));
    return std::nullopt;
  }
  breaker.Success();
  return answer;
}

Leg Mirror::MakeLeg(const MirrorJob& job, LegRole role, const ResolvedVariant& variant,
                    const Answer& answer, bool served) const {
  const std::string text = TextOf(answer);
  Leg leg{
      .role = role,
      .variant = variant.name,
      .served = served,
      .status = answer.status,
      .http_status = answer.http_status,
      .error = answer.error,
      .output_digest = DigestOf(text),
      .usage = answer.usage,
      .cost_usd = CostUsd(variant.target.prices, answer.usage),
      .ttft = answer.ttft,
      .latency = answer.latency,
      .finish_reason = answer.finish_reason,
      .system_fingerprint = answer.system_fingerprint,
      .format_valid = !job.route->validator || job.route->validator->Check(answer.content).ok()};
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

void Mirror::Run(const MirrorJob& job) {
  const ResolvedRoute& route = *job.route;
  const TrafficPlan& plan = route.plan;
  Answers answers;
  const bool served_candidate = job.served_variant == plan.candidate && !plan.self_compare;
  if (plan.self_compare) {
    answers.primary = job.served;
    answers.secondary = CallLeg(job, plan.reference);
    if (!answers.secondary) return;
  } else if (served_candidate) {
    answers.candidate = job.served;
    std::optional<Answer> primary = CallLeg(job, plan.reference);
    if (!primary) return;
    answers.primary = *std::move(primary);
  } else {
    answers.primary = job.served;
    answers.candidate = CallLeg(job, plan.candidate);
    if (!answers.candidate) return;
  }
  if (job.assignment.second_sample && !plan.self_compare) {
    answers.secondary = CallLeg(job, plan.reference);
    if (!answers.secondary) return;
  }

  const absl::Time now = deps_.clock.Now();
  Pair pair{.id = job.request_id,
            .route = route.route.name,
            .experiment = job.key.experiment,
            .comparison = job.key.comparison,
            .request_id = job.request_id,
            .completion_id = job.served.completion_id,
            .cluster = job.cluster,
            .trace_id = job.trace_id,
            .time = job.time,
            .self_compare = plan.self_compare,
            .provenance = route.CurrentProvenance(),
            .input_digest = DigestOf(job.request.Raw("messages")),
            .validity = JudgeValidity(job.served, job.from_fallback, job.request.has_tool_results)};
  const ResolvedVariant& reference = *route.Find(plan.reference);
  pair.legs.push_back(
      MakeLeg(job, LegRole::kPrimary, reference, answers.primary, !served_candidate));
  if (answers.candidate) {
    pair.legs.push_back(MakeLeg(job, LegRole::kCandidate, *route.Find(plan.candidate),
                                *answers.candidate, served_candidate));
  }
  if (answers.secondary) {
    pair.legs.push_back(MakeLeg(job, LegRole::kSecondary, reference, *answers.secondary, false));
  }
  CompareAndGrade(route, answers, job.request.label, now, pair);
  deps_.books.Paired(job.key, static_cast<int64_t>(job.Bytes()), std::move(pair));
  if (observer_) observer_(route.route.name, "paired", "");
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
