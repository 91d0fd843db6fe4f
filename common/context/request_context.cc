#include "common/context/request_context.h"

#include <algorithm>
#include <utility>

namespace crossover {
namespace {

thread_local const RequestContext* current = nullptr;

}  // namespace

absl::Duration RequestContext::Remaining(Clock& clock) const {
  if (deadline == absl::InfiniteDuration()) return deadline;
  return std::max(deadline - clock.SteadyNow(), absl::ZeroDuration());
}

const RequestContext& RequestContext::Current() {
  static const RequestContext none;
  return current == nullptr ? none : *current;
}

ScopedContext::ScopedContext(RequestContext context)
    : context_(std::move(context)), previous_(current) {
  current = &context_;
}

ScopedContext::~ScopedContext() { current = previous_; }

}  // namespace crossover
