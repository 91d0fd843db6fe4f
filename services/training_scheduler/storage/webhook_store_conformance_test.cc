// What every WebhookStore promises, tried on the fake and on Postgres.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "common/id/random.h"
#include "common/id/uuid7.h"
#include "common/log/fake_logger.h"
#include "common/testing/matchers.h"
#include "common/testing/pg_fixture.h"
#include "common/time/clock.h"
#include "services/training_scheduler/domain/fake_job_store.h"
#include "services/training_scheduler/domain/fake_model_store.h"
#include "services/training_scheduler/storage/embedded_sql.h"
#include "services/training_scheduler/storage/pg_job_store.h"
#include "services/training_scheduler/storage/pg_webhook_store.h"

namespace crossover::scheduler {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

struct WebhookStores {
  virtual ~WebhookStores() = default;
  virtual JobStore& jobs() = 0;
  virtual WebhookStore& webhooks() = 0;
};

struct FakeWebhookStores final : WebhookStores {
  FakeModelStore model_store{SystemClock()};
  FakeWebhookStore webhook_store{SystemClock()};
  FakeJobStore job_store{SystemClock(), model_store, &webhook_store};
  JobStore& jobs() override { return job_store; }
  WebhookStore& webhooks() override { return webhook_store; }
};

struct PgWebhookStores final : WebhookStores {
  crossover::testing::PgDatabase database{{Migrations()}};
  std::unique_ptr<pg::Pool> pool = database.NewPool("scheduler");
  FakeLogger logger;
  PgJobStore job_store{*pool, logger};
  PgWebhookStore webhook_store{*pool};
  JobStore& jobs() override { return job_store; }
  WebhookStore& webhooks() override { return webhook_store; }
};

class WebhookStoreConformance : public ::testing::TestWithParam<const char*> {
 protected:
  WebhookStoreConformance() {
    if (std::string(GetParam()) == "Fake") {
      stores_ = std::make_unique<FakeWebhookStores>();
    } else {
      stores_ = std::make_unique<PgWebhookStores>();
    }
  }

  WebhookStore& store() { return stores_->webhooks(); }

  WebhookEndpoint Draft(std::vector<std::string> event_types = {}) {
    WebhookEndpoint endpoint;
    endpoint.id = ids_.NextId();
    endpoint.project = "default";
    endpoint.url = "https://example.com/hook?a='b'";
    endpoint.event_types = std::move(event_types);
    endpoint.labels = {{"team", "legal"}};
    endpoint.secret = "whsec_c2VjcmV0";
    return endpoint;
  }

  WebhookEndpoint AddEndpoint(std::vector<std::string> event_types = {}) {
    absl::StatusOr<WebhookEndpoint> added =
        store().CreateEndpoint(Draft(std::move(event_types)), {});
    EXPECT_OK(added);
    return *added;
  }

  Job AddJob(const std::string& project = "default") {
    Job job;
    job.id = ids_.NextId();
    job.project = project;
    absl::StatusOr<Job> added =
        stores_->jobs().Insert(job, {}, [](Job& mine, absl::Time now, Effects& effects) {
          return Accept(mine, {}, Dependencies::kMet, now, effects);
        });
    EXPECT_OK(added);
    return *added;
  }

  absl::Status Cancelled(const JobId& id) {
    return stores_->jobs()
        .Update(id, [](Job& mine, absl::Time now,
                       Effects& effects) { return Cancel(mine, now, effects); })
        .status();
  }

  JobId EndAJob(const std::string& project = "default") {
    const Job job = AddJob(project);
    EXPECT_OK(Cancelled(job.id));
    return job.id;
  }

  std::vector<WebhookDelivery> Deliveries(const DeliveryQuery& query = {.project = "default"}) {
    return *store().ListDeliveries(query);
  }

  ClaimedDelivery Claim(absl::Duration lease = absl::Seconds(60)) {
    absl::StatusOr<std::optional<ClaimedDelivery>> claimed = store().ClaimDelivery(lease);
    EXPECT_OK(claimed);
    EXPECT_TRUE(claimed->has_value());
    return **claimed;
  }

  bool NothingIsDue() { return !store().ClaimDelivery(absl::Seconds(60))->has_value(); }

  FakeRandom random_;
  UuidGenerator ids_{SystemClock(), random_};
  std::unique_ptr<WebhookStores> stores_;
};

TEST_P(WebhookStoreConformance, AnEndpointComesBackAsItWasStoredAndOncePerRequest) {
  const RequestKey key{"request-1", "sha256:payload"};
  const WebhookEndpoint draft = Draft({"fine_tuning.job.failed", "fine_tuning.job.cancelled"});
  ASSERT_OK_AND_ASSIGN(WebhookEndpoint stored, store().CreateEndpoint(draft, key));
  EXPECT_EQ(stored.id, draft.id);
  EXPECT_EQ(stored.url, draft.url);
  EXPECT_EQ(stored.event_types, draft.event_types);
  EXPECT_EQ(stored.labels, draft.labels);
  EXPECT_EQ(stored.secret, draft.secret);
  EXPECT_GT(stored.create_time, absl::UnixEpoch());

  ASSERT_OK_AND_ASSIGN(WebhookEndpoint again, store().CreateEndpoint(Draft(), key));
  EXPECT_EQ(again.id, draft.id);
  EXPECT_THAT(store().CreateEndpoint(Draft(), {"request-1", "sha256:other"}),
              HasReasonThat("REQUEST_ID_REUSED"));
  EXPECT_THAT(*store().ListEndpoints("default", "", 10), SizeIs(1));
  EXPECT_THAT(store().GetEndpoint("other", draft.id), HasReasonThat("RESOURCE_NOT_FOUND"));
}

TEST_P(WebhookStoreConformance, EndpointsAreListedNewestFirstByPage) {
  const std::string first = AddEndpoint().id;
  const std::string second = AddEndpoint().id;
  ASSERT_OK_AND_ASSIGN(std::vector<WebhookEndpoint> page, store().ListEndpoints("default", "", 1));
  ASSERT_THAT(page, SizeIs(1));
  EXPECT_EQ(page[0].id, second);
  ASSERT_OK_AND_ASSIGN(page, store().ListEndpoints("default", second, 5));
  ASSERT_THAT(page, SizeIs(1));
  EXPECT_EQ(page[0].id, first);
}

TEST_P(WebhookStoreConformance, AnUpdateOfWhatHasChangedSinceIsRefused) {
  const WebhookEndpoint read = AddEndpoint();
  WebhookEndpoint mine = read;
  mine.url = "https://example.com/other";
  mine.disabled = true;
  ASSERT_OK_AND_ASSIGN(WebhookEndpoint updated, store().UpdateEndpoint(mine));
  EXPECT_EQ(updated.url, mine.url);
  EXPECT_TRUE(updated.disabled);
  EXPECT_THAT(store().UpdateEndpoint(mine), HasReasonThat("ETAG_MISMATCH"));
}

TEST_P(WebhookStoreConformance, AnEndIsStoredWithOneDeliveryForEachEndpointThatWantsIt) {
  const WebhookEndpoint all = AddEndpoint();
  const WebhookEndpoint some = AddEndpoint({"fine_tuning.job.cancelled"});
  AddEndpoint({"fine_tuning.job.succeeded"});
  WebhookEndpoint disabled = AddEndpoint();
  disabled.disabled = true;
  ASSERT_OK(store().UpdateEndpoint(disabled));
  EndAJob("other");
  const JobId job = EndAJob();
  const std::vector<WebhookDelivery> deliveries = Deliveries();
  ASSERT_THAT(deliveries, SizeIs(2));
  std::set<std::string> endpoints;
  for (const WebhookDelivery& delivery : deliveries) {
    endpoints.insert(delivery.endpoint);
    EXPECT_EQ(delivery.job, job);
    EXPECT_EQ(delivery.event_type, "fine_tuning.job.cancelled");
    EXPECT_EQ(delivery.state, DeliveryState::kPending);
    EXPECT_EQ(delivery.attempts, 0);
    EXPECT_TRUE(delivery.next_time.has_value());
    // An id of ours, made when the event happened.
    ASSERT_OK_AND_ASSIGN(Uuid id, ParseId(delivery.id));
    EXPECT_LT(absl::AbsDuration(id.CreateTime() - delivery.create_time), absl::Milliseconds(2));
    EXPECT_EQ(id.bytes[6] >> 4, 7);
    EXPECT_EQ(id.bytes[8] >> 6, 2);
  }
  EXPECT_EQ(endpoints, (std::set{all.id, some.id}));
  EXPECT_THAT(Deliveries({.project = "default", .endpoint = some.id}), SizeIs(1));
  EXPECT_THAT(Deliveries({.project = "default", .state = DeliveryState::kExhausted}), IsEmpty());
  EXPECT_THAT(Deliveries({.project = "default", .job = job}), SizeIs(2));
  EXPECT_THAT(Deliveries({.project = "default", .before = deliveries[0].id}), SizeIs(1));
}

TEST_P(WebhookStoreConformance, AnEndThatIsRolledBackTellsNobody) {
  AddEndpoint();
  const Job job = AddJob();
  EXPECT_FALSE(stores_->jobs()
                   .Update(job.id,
                           [](Job& mine, absl::Time now, Effects& effects) {
                             EXPECT_OK(Cancel(mine, now, effects));
                             return absl::InternalError("after all not");
                           })
                   .ok());
  EXPECT_THAT(Deliveries(), IsEmpty());
  // A second Cancel of a job that has ended is no second end.
  EXPECT_OK(Cancelled(job.id));
  EXPECT_OK(Cancelled(job.id));
  EXPECT_THAT(Deliveries(), SizeIs(1));
}

TEST_P(WebhookStoreConformance, AClaimIsOnesOwnUntilItsLeaseEnds) {
  AddEndpoint();
  EndAJob();
  const ClaimedDelivery first = Claim(absl::Milliseconds(1));
  EXPECT_EQ(first.delivery.attempts, 1);
  EXPECT_EQ(first.endpoint.secret, "whsec_c2VjcmV0");
  SystemClock().SleepFor(absl::Milliseconds(20));
  const ClaimedDelivery second = Claim();  // the first deliverer was killed
  EXPECT_EQ(second.delivery.id, first.delivery.id);
  EXPECT_EQ(second.delivery.attempts, 2);
  EXPECT_TRUE(NothingIsDue());
  const AttemptResult delivered{.state = DeliveryState::kDelivered,
                                .pause = {},
                                .response_status = 200,
                                .response = "ok",
                                .disable_endpoint = false};
  EXPECT_THAT(store().FinishAttempt(first.delivery.id, 1, delivered), IsOkAndHolds(false));
  EXPECT_THAT(store().FinishAttempt(second.delivery.id, 2, delivered), IsOkAndHolds(true));
  EXPECT_THAT(store().FinishAttempt(second.delivery.id, 2, delivered), IsOkAndHolds(false));
  EXPECT_EQ(Deliveries()[0].state, DeliveryState::kDelivered);
  EXPECT_EQ(Deliveries()[0].response_status, 200);
  EXPECT_FALSE(Deliveries()[0].next_time.has_value());
  EXPECT_TRUE(NothingIsDue());
}

TEST_P(WebhookStoreConformance, AFailedAttemptIsDueAgainWhenItsPauseIsOver) {
  AddEndpoint();
  EndAJob();
  ClaimedDelivery claimed = Claim();
  AttemptResult failed;
  failed.pause = absl::Hours(1);
  failed.response = "not today";
  EXPECT_THAT(store().FinishAttempt(claimed.delivery.id, 1, failed), IsOkAndHolds(true));
  EXPECT_TRUE(NothingIsDue());
  EXPECT_GT(*Deliveries()[0].next_time, SystemClock().Now() + absl::Minutes(59));
  // Redeliver makes it due now.
  ASSERT_OK_AND_ASSIGN(WebhookDelivery due, store().Redeliver("default", claimed.delivery.endpoint,
                                                              claimed.delivery.id));
  EXPECT_EQ(due.state, DeliveryState::kPending);
  claimed = Claim();
  failed.pause = absl::ZeroDuration();
  EXPECT_THAT(store().FinishAttempt(claimed.delivery.id, 2, failed), IsOkAndHolds(true));
  EXPECT_EQ(Claim().delivery.attempts, 3);
}

TEST_P(WebhookStoreConformance, WhatHasEndedCanBeRedelivered) {
  AddEndpoint();
  EndAJob();
  const ClaimedDelivery claimed = Claim();
  AttemptResult over;
  over.state = DeliveryState::kExhausted;
  over.disable_endpoint = true;
  EXPECT_THAT(store().FinishAttempt(claimed.delivery.id, 1, over), IsOkAndHolds(true));
  WebhookEndpoint endpoint = *store().GetEndpoint("default", claimed.endpoint.id);
  EXPECT_TRUE(endpoint.disabled);
  ASSERT_OK(store().Redeliver("default", endpoint.id, claimed.delivery.id));
  EXPECT_TRUE(NothingIsDue());  // nothing is sent to a disabled endpoint
  endpoint.disabled = false;
  ASSERT_OK(store().UpdateEndpoint(endpoint));
  EXPECT_EQ(Claim().delivery.id, claimed.delivery.id);
  EXPECT_THAT(store().Redeliver("default", endpoint.id, ids_.NextId()),
              HasReasonThat("RESOURCE_NOT_FOUND"));
  EXPECT_THAT(store().Redeliver("other", endpoint.id, claimed.delivery.id),
              HasReasonThat("RESOURCE_NOT_FOUND"));
}

TEST_P(WebhookStoreConformance, ASlowEndpointKeepsNobodyElseWaiting) {
  const std::string slow = AddEndpoint().id;
  EndAJob();
  EndAJob();
  EXPECT_EQ(Claim().endpoint.id, slow);
  const std::string other = AddEndpoint().id;
  EndAJob();
  EXPECT_EQ(Claim().endpoint.id, other);
  EXPECT_TRUE(NothingIsDue());
}

TEST_P(WebhookStoreConformance, DeletingAnEndpointTakesItsDeliveriesAlong) {
  const std::string id = AddEndpoint().id;
  EndAJob();
  EXPECT_THAT(store().DeleteEndpoint("other", id), HasReasonThat("RESOURCE_NOT_FOUND"));
  EXPECT_OK(store().DeleteEndpoint("default", id));
  EXPECT_THAT(Deliveries(), IsEmpty());
  EXPECT_TRUE(NothingIsDue());
  EXPECT_THAT(store().DeleteEndpoint("default", id), HasReasonThat("RESOURCE_NOT_FOUND"));
}

TEST_P(WebhookStoreConformance, SeveralDeliverersNeverGetTheSameAttempt) {
  for (int i = 0; i < 20; ++i) AddEndpoint();
  EndAJob();
  absl::Mutex mutex;
  std::vector<std::string> claimed;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      while (true) {
        const auto mine = store().ClaimDelivery(absl::Seconds(60));
        if (!mine.ok() || !mine->has_value()) return;
        absl::MutexLock lock(&mutex);
        claimed.push_back((*mine)->delivery.id);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  while (true) {  // what was locked by another at the moment of the last look
    const auto rest = store().ClaimDelivery(absl::Seconds(60));
    if (!rest.ok() || !rest->has_value()) break;
    claimed.push_back((*rest)->delivery.id);
  }
  EXPECT_THAT(claimed, SizeIs(20));
  EXPECT_THAT(std::set<std::string>(claimed.begin(), claimed.end()), SizeIs(20));
}

TEST_P(WebhookStoreConformance, DeliveriesThatAreOverGoAfterAWhileTheOldestFirst) {
  AddEndpoint();
  for (int i = 0; i < 3; ++i) EndAJob();
  const ClaimedDelivery delivered = Claim();
  EXPECT_TRUE(
      *store().FinishAttempt(delivered.delivery.id, 1, {.state = DeliveryState::kDelivered}));
  const ClaimedDelivery exhausted = Claim();
  EXPECT_TRUE(
      *store().FinishAttempt(exhausted.delivery.id, 1, {.state = DeliveryState::kExhausted}));
  EXPECT_EQ(*store().RemoveEnded(absl::Hours(1), 10), 0);
  EXPECT_THAT(Deliveries(), SizeIs(3));
  EXPECT_EQ(*store().RemoveEnded(absl::ZeroDuration(), 1), 1);
  for (const WebhookDelivery& left : Deliveries()) EXPECT_NE(left.id, delivered.delivery.id);
  EXPECT_EQ(*store().RemoveEnded(absl::ZeroDuration(), 10), 1);
  ASSERT_THAT(Deliveries(), SizeIs(1));
  EXPECT_EQ(Deliveries()[0].state, DeliveryState::kPending);
}

INSTANTIATE_TEST_SUITE_P(Stores, WebhookStoreConformance, ::testing::Values("Fake", "Postgres"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace crossover::scheduler
