#include "common/pg/pool.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/context/request_context.h"
#include "common/pg/connect.h"
#include "common/pg/transaction.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::pg {

Lease::~Lease() {
  if (connection_ != nullptr) pool_->Return(std::move(connection_), discard_);
}

Pool::Impl::Impl(PoolOptions pool_options, Clock& pool_clock, metrics::Registry* metrics_registry)
    : options(std::move(pool_options)), clock(pool_clock), registry(metrics_registry) {}

absl::StatusOr<std::unique_ptr<Connection>> Pool::Impl::Open() {
  return Connect({.dsn = options.dsn,
                  .schema = options.schema,
                  .application_name = options.application_name,
                  .connect_timeout = options.connect_timeout,
                  .statement_timeout = options.statement_timeout});
}

absl::StatusOr<Lease> Pool::Impl::Acquire() {
  const absl::Duration left = RequestContext::Current().Remaining(clock);
  std::unique_ptr<Connection> reused;
  {
    absl::MutexLock lock(&mutex);
    const auto available = [this] {
      mutex.AssertHeld();
      return !idle.empty() || open < options.max_connections;
    };
    if (!mutex.AwaitWithTimeout(absl::Condition(&available),
                                std::min(options.acquire_timeout, left))) {
      if (left < options.acquire_timeout) {
        return Error(absl::StatusCode::kDeadlineExceeded, "DEADLINE_EXCEEDED",
                     "the request's deadline passed while it waited for a Postgres connection");
      }
      return Error(
          absl::StatusCode::kUnavailable, "POSTGRES_POOL_EXHAUSTED",
          absl::StrFormat(
              "all %d Postgres connections were busy for %s; raise the pool's maximum or look "
              "for slow statements",
              options.max_connections, absl::FormatDuration(options.acquire_timeout)));
    }
    if (!idle.empty()) {
      reused = std::move(idle.back());  // the most recently used is the likeliest to be alive
      idle.pop_back();
    } else {
      ++open;
    }
  }
  if (reused != nullptr) return Lease(*this, std::move(reused));
  absl::StatusOr<std::unique_ptr<Connection>> fresh = Open();
  if (!fresh.ok()) {
    absl::MutexLock lock(&mutex);
    --open;
    return fresh.status();
  }
  return Lease(*this, *std::move(fresh));
}

void Pool::Impl::Return(std::unique_ptr<Connection> connection, bool discard) {
  const bool keep = !discard && connection->get().is_open();
  if (!keep) connection.reset();
  absl::MutexLock lock(&mutex);
  if (keep) {
    idle.push_back(std::move(connection));
  } else {
    --open;
  }
}

void Pool::Impl::DropIdle() {
  std::deque<std::unique_ptr<Connection>> dropped;  // closed outside the lock
  absl::MutexLock lock(&mutex);
  open -= static_cast<int>(idle.size());
  dropped.swap(idle);
}

void Pool::Impl::CountTransaction(const char* outcome) {
  if (registry == nullptr) return;
  registry
      ->NewCounter("crossover_pg_transactions_total", "Transactions by outcome.",
                   {{"outcome", outcome}})
      .Increment();
}

Pool::Pool(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Pool::~Pool() = default;

absl::StatusOr<std::unique_ptr<Pool>> Pool::Create(PoolOptions options, Clock& clock,
                                                   metrics::Registry* registry) {
  if (options.max_connections < 1 || options.min_connections > options.max_connections) {
    return Error(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                 absl::StrFormat("a pool of %d to %d connections is impossible",
                                 options.min_connections, options.max_connections));
  }
  auto impl = std::make_unique<Impl>(std::move(options), clock, registry);
  for (int i = 0; i < impl->options.min_connections; ++i) {
    ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection, impl->Open());
    absl::MutexLock lock(&impl->mutex);
    impl->idle.push_back(std::move(connection));
    ++impl->open;
  }
  return std::unique_ptr<Pool>(new Pool(std::move(impl)));
}

absl::Status Pool::Ping() {
  return Transact(*this, {.name = "ping", .read_only = true}, [](pqxx::transaction_base& txn) {
    txn.exec("SELECT 1");
    return absl::OkStatus();
  });
}

const PoolOptions& Pool::options() const { return impl_->options; }
Clock& Pool::clock() const { return impl_->clock; }

int Pool::size() const {
  absl::MutexLock lock(&impl_->mutex);
  return impl_->open;
}

}  // namespace crossover::pg
