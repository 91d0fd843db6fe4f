// What every JobStore promises, tried on the fake and on Postgres.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <thread>

#include "common/id/random.h"
#include "common/id/uuid7.h"
#include "common/log/fake_logger.h"
#include "common/status/status_macros.h"
#include "common/testing/matchers.h"
#include "common/testing/pg_fixture.h"
#include "common/time/clock.h"
#include "services/training_scheduler/domain/fake_job_store.h"
#include "services/training_scheduler/domain/fake_model_store.h"
#include "services/training_scheduler/domain/prefer_bases.h"
#include "services/training_scheduler/storage/embedded_sql.h"
#include "services/training_scheduler/storage/pg_job_store.h"
#include "services/training_scheduler/storage/pg_model_store.h"

namespace crossover::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

// Both stores run on the machine's clock here: Postgres has no other.
struct Stores {
  virtual ~Stores() = default;
  virtual JobStore& jobs() = 0;
  virtual ModelStore& models() = 0;
};

struct FakeStores final : Stores {
  FakeModelStore model_store{SystemClock()};
  FakeJobStore job_store{SystemClock(), model_store};
  JobStore& jobs() override { return job_store; }
  ModelStore& models() override { return model_store; }
};

struct PgStores final : Stores {
  crossover::testing::PgDatabase database{{Migrations()}};
  std::unique_ptr<pg::Pool> pool = database.NewPool("scheduler");
  PgModelStore model_store{*pool};
  FakeLogger logger;
  PgJobStore job_store{*pool, logger};
  JobStore& jobs() override { return job_store; }
  ModelStore& models() override { return model_store; }
};

class JobStoreConformance : public ::testing::TestWithParam<const char*> {
 protected:
  JobStoreConformance() {
    if (std::string(GetParam()) == "Fake") {
      stores_ = std::make_unique<FakeStores>();
    } else {
      stores_ = std::make_unique<PgStores>();
    }
  }

  JobStore& store() { return stores_->jobs(); }

  Job Draft() {
    Job job;
    job.id = ids_.NextId();
    job.project = "default";
    job.base_model = "smollm2";
    return job;
  }

  static absl::Status Queue(Job& job, absl::Time now, Effects& effects) {
    Validated validated;
    validated.base_model = job.base_model;
    validated.inputs.base_digest = "sha256:base";
    validated.resolved.steps = 100;
    validated.estimate.work = 4e12;
    validated.resolved.batch_size = 8;
    return Accept(job, validated, Dependencies::kMet, now, effects);
  }

  Job Add(const Job& draft, const RequestKey& key = {}) {
    absl::StatusOr<Job> job = store().Insert(draft, key, &Queue);
    EXPECT_OK(job);
    return *job;
  }
  Job Add() { return Add(Draft()); }

  ClaimRequest Claimant(const std::string& worker, int count = 1) {
    ClaimRequest request{.capabilities = {}, .ttl = absl::Seconds(30), .claimants = {}};
    for (int i = 0; i < count; ++i) {
      request.claimants.push_back({worker, "life-1", random_.Hex(16)});
    }
    return request;
  }

  void MakeExpired(const JobId& id) {
    EXPECT_OK(store().Update(id, [](Job& job, absl::Time now, Effects&) {
      job.lease->expire_time = now - absl::Seconds(1);
      return absl::OkStatus();
    }));
  }

  FakeRandom random_;
  UuidGenerator ids_{SystemClock(), random_};
  std::unique_ptr<Stores> stores_;
};

TEST_P(JobStoreConformance, AJobComesBackAsItWasStored) {
  Job draft = Draft();
  draft.display_name = "clauses, third try";
  draft.labels = {{"team", "legal"}};
  draft.kind = JobKind::kSft;
  draft.spec.training.learning_rate = 8e-4;
  draft.task = "projects/default/tasks/clauses";
  draft.dataset_version = "projects/default/datasets/d/versions/sha256:1";
  draft.priority = 7;
  draft.queue = "slow";
  draft.deadline = absl::FromUnixSeconds(2'000'000'000);
  draft.max_failures = 5;
  const Job stored = Add(draft);
  ASSERT_OK_AND_ASSIGN(Job job, store().Get(stored.id));
  EXPECT_EQ(job.display_name, draft.display_name);
  EXPECT_EQ(job.labels, draft.labels);
  EXPECT_EQ(job.spec.training.learning_rate, 8e-4);
  EXPECT_EQ(job.resolved.steps, 100);
  EXPECT_EQ(job.inputs.base_digest, "sha256:base");
  EXPECT_EQ(job.task, draft.task);
  EXPECT_EQ(job.priority, 7);
  EXPECT_EQ(job.queue, "slow");
  EXPECT_EQ(job.deadline, draft.deadline);
  EXPECT_EQ(job.max_failures, 5);
  EXPECT_EQ(job.state, JobState::kQueued);
  EXPECT_TRUE(job.ready_time.has_value());
  EXPECT_FALSE(job.lease.has_value());
  EXPECT_EQ(job.last_event_sequence, 3);
  EXPECT_GT(job.create_time, absl::UnixEpoch());
}

TEST_P(JobStoreConformance, AnUnknownJobIsNotFound) {
  EXPECT_THAT(store().Get(ids_.NextId()), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store().Get("no id at all"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store().Update(ids_.NextId(), &Queue), StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(JobStoreConformance, ARequestIdCreatesOnce) {
  const Job first = Add(Draft(), {"r-1", "payload-a"});
  const Job again = Add(Draft(), {"r-1", "payload-a"});
  EXPECT_EQ(first.id, again.id);
  EXPECT_EQ((*store().FindCreated("default", {"r-1", "payload-a"}))->id, first.id);
  EXPECT_FALSE(store().FindCreated("default", {"r-2", "payload-a"})->has_value());
  EXPECT_FALSE(store().FindCreated("other", {"r-1", "payload-a"})->has_value());
  EXPECT_THAT(store().FindCreated("default", {"r-1", "payload-b"}),
              HasReasonThat("REQUEST_ID_REUSED"));
  EXPECT_THAT(store().Insert(Draft(), {"r-1", "payload-b"}, &Queue),
              HasReasonThat("REQUEST_ID_REUSED"));
  Job elsewhere = Draft();
  elsewhere.project = "other";
  EXPECT_NE(Add(elsewhere, {"r-1", "payload-b"}).id, first.id);
}

TEST_P(JobStoreConformance, AFailedMutationChangesNothing) {
  const Job job = Add();
  EXPECT_THAT(store().Update(job.id,
                             [](Job& mine, absl::Time, Effects& effects) {
                               mine.display_name = "changed";
                               effects.events.emplace_back();
                               return absl::AbortedError("no");
                             }),
              StatusIs(absl::StatusCode::kAborted));
  ASSERT_OK_AND_ASSIGN(Job same, store().Get(job.id));
  EXPECT_EQ(same.display_name, "");
  EXPECT_EQ(same.revision, job.revision);
  EXPECT_EQ(same.last_event_sequence, job.last_event_sequence);
}

TEST_P(JobStoreConformance, AClaimGivesALeaseAndAnEvent) {
  const Job added = Add();
  ASSERT_OK_AND_ASSIGN(std::vector<Job> claimed, store().Claim(Claimant("worker-a")));
  ASSERT_THAT(claimed, SizeIs(1));
  const Job& job = claimed[0];
  EXPECT_EQ(job.id, added.id);
  EXPECT_EQ(job.state, JobState::kRunning);
  EXPECT_EQ(job.lease_epoch, 1);
  ASSERT_TRUE(job.lease.has_value());
  EXPECT_EQ(job.lease->worker, "worker-a");
  EXPECT_EQ(job.lease->incarnation, "life-1");
  EXPECT_EQ(job.lease->expire_time - job.lease->grant_time, absl::Seconds(30));
  EXPECT_EQ(job.worker, "worker-a");
  EXPECT_EQ(job.state_reason, "leased to worker-a");
  EXPECT_TRUE(job.run_time.has_value());
  EXPECT_GT(job.revision, added.revision);
  ASSERT_OK_AND_ASSIGN(std::vector<JobEvent> events, store().Events(job.id, 3, 10));
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(events[0].sequence, 4);
  EXPECT_EQ(events[0].type, EventType::kLeased);
  EXPECT_EQ(events[0].data, R"({"from":"QUEUED","to":"RUNNING"})");
  EXPECT_THAT(*store().Claim(Claimant("worker-b")), IsEmpty());
}

TEST_P(JobStoreConformance, ClaimsFollowRankAndFitTheClaimant) {
  Job late = Draft();
  const Job first = Add();
  late.priority = 5;
  const Job urgent = Add(late);
  Job other = Draft();
  other.queue = "gpu";
  const Job elsewhere = Add(other);
  ClaimRequest request = Claimant("w", 10);
  request.capabilities.queues = {"default"};
  ASSERT_OK_AND_ASSIGN(std::vector<Job> claimed, store().Claim(request));
  std::vector<JobId> ids;
  for (const Job& job : claimed) ids.push_back(job.id);
  EXPECT_THAT(ids, ::testing::UnorderedElementsAre(urgent.id, first.id));
  request = Claimant("w");
  request.capabilities.kinds = {JobKind::kExport};
  EXPECT_THAT(*store().Claim(request), IsEmpty());
  request.capabilities.kinds = {JobKind::kExport, JobKind::kSft};
  EXPECT_EQ(store().Claim(request)->at(0).id, elsewhere.id);
}

TEST_P(JobStoreConformance, TheUrgentAndThenTheOlderJobIsClaimedFirst) {
  const Job old = Add();
  const Job young = Add();
  Job draft = Draft();
  draft.priority = 1;
  const Job urgent = Add(draft);
  EXPECT_EQ(store().QueuePosition(*store().Get(urgent.id)).value(), 1);
  EXPECT_EQ(store().QueuePosition(*store().Get(young.id)).value(), 3);
  for (const JobId& id : {urgent.id, old.id, young.id}) {
    EXPECT_EQ(store().Claim(Claimant("w"))->at(0).id, id);
  }
  EXPECT_EQ(store().QueuePosition(*store().Get(young.id)).value(), 0);
}

TEST_P(JobStoreConformance, ProjectsTakeTurnsByWhatTheyHold) {
  Job draft = Draft();
  const auto add = [&](const std::string& project, int32_t priority) {
    draft.id = ids_.NextId();
    draft.project = project;
    draft.priority = priority;
    return Add(draft).id;
  };
  const JobId a1 = add("a", 50), a2 = add("a", 40), a3 = add("a", 30);
  const JobId b1 = add("b", 0), c1 = add("c", 10);
  // Of those that hold as many leases the first in rank; a project of many or urgent jobs does not
  // keep the others waiting.
  for (const JobId& id : {a1, c1, b1, a2, a3}) {
    EXPECT_EQ(store().Claim(Claimant("w"))->at(0).id, id);
  }
}

TEST_P(JobStoreConformance, AProjectHoldsNoMoreLeasesThanItsQuota) {
  for (int i = 0; i < 4; ++i) Add();
  ASSERT_OK(store().SetQuota("default", 2));
  ASSERT_OK_AND_ASSIGN(std::vector<Job> claimed, store().Claim(Claimant("w", 10)));
  ASSERT_THAT(claimed, SizeIs(2));
  EXPECT_THAT(*store().Claim(Claimant("w", 10)), IsEmpty());
  // A lease that ends makes room for one.
  ASSERT_OK(store().Update(claimed[0].id, [&](Job& job, absl::Time now, Effects& effects) {
    return Crash(job, "w", "", "", RetryPolicy{}, now, effects);
  }));
  EXPECT_THAT(*store().Claim(Claimant("w", 10)), SizeIs(1));
  ASSERT_OK(store().SetQuota("default", 1));  // below what it holds: they stay, no more come
  EXPECT_THAT(*store().Claim(Claimant("w", 10)), IsEmpty());
  ASSERT_OK(store().SetQuota("default", std::nullopt));
  EXPECT_THAT(*store().Claim(Claimant("w", 10)), SizeIs(2));
}

TEST_P(JobStoreConformance, AQuotaHoldsWhenManyClaimAtOnce) {
  for (int i = 0; i < 30; ++i) Add();
  ASSERT_OK(store().SetQuota("default", 7));
  std::atomic<size_t> claimed = 0;
  std::vector<std::thread> threads;
  std::vector<ClaimRequest> requests;
  for (int t = 0; t < 6; ++t) requests.push_back(Claimant("w" + std::to_string(t), 3));
  for (const ClaimRequest& request : requests) {
    threads.emplace_back([&] {
      for (int i = 0; i < 3; ++i) {
        absl::StatusOr<std::vector<Job>> jobs = store().Claim(request);
        ASSERT_OK(jobs);
        claimed += jobs->size();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(claimed, 7u);
}

TEST_P(JobStoreConformance, AJobIsForWorkersThatHaveWhatItNeeds) {
  Job draft = Draft();
  draft.requirements = {"cuda", 0};
  const JobId gpu = Add(draft).id;
  draft = Draft();
  draft.requirements = {"", 1000};
  const JobId large = Add(draft).id;
  ClaimRequest request = Claimant("w");
  request.capabilities.device = "cpu";
  request.capabilities.memory_bytes = 999;
  EXPECT_THAT(*store().Claim(request), IsEmpty());
  request.capabilities.memory_bytes = 1000;
  EXPECT_EQ(store().Claim(request)->at(0).id, large);
  EXPECT_THAT(*store().Claim(request), IsEmpty());
  request.capabilities.device = "cuda";
  EXPECT_EQ(store().Claim(request)->at(0).id, gpu);
  EXPECT_EQ(store().Get(gpu)->requirements.device, "cuda");
  EXPECT_EQ(store().Get(large)->needed_memory_bytes, 1000);
}

TEST_P(JobStoreConformance, AGangIsLeasedWholeOrNotAtAll) {
  Job draft = Draft();
  draft.requirements.gang_size = 3;
  const JobId id = Add(draft).id;
  ClaimRequest request = Claimant("a");
  request.claimants = {{"a", "1", "hash a", "a:7000"}, {"b", "1", "hash b", ""}};
  EXPECT_THAT(*store().Claim(request), IsEmpty());  // is for nobody alone
  EXPECT_THAT(*store().ClaimGang(request), IsEmpty());
  request.claimants.push_back({"c", "1", "hash c", ""});
  request.claimants.push_back({"d", "1", "hash d", ""});
  ASSERT_OK(store().SetQuota("default", 2));
  EXPECT_THAT(*store().ClaimGang(request), IsEmpty());  // it would hold three places
  ASSERT_OK(store().SetQuota("default", 3));
  ASSERT_OK_AND_ASSIGN(std::vector<Job> claimed, store().ClaimGang(request));
  ASSERT_THAT(claimed, SizeIs(1));
  ASSERT_OK_AND_ASSIGN(Job job, store().Get(id));
  ASSERT_TRUE(job.lease.has_value());
  EXPECT_EQ(job.lease->worker, "a");
  EXPECT_EQ(job.lease->rendezvous, "a:7000");
  ASSERT_THAT(job.lease->gang, SizeIs(3));
  EXPECT_EQ(job.lease->gang[2].worker, "c");
  EXPECT_EQ(job.lease->gang[2].token_hash, "hash c");
  EXPECT_EQ(job.lease->gang[1].expire_time, job.lease->expire_time);
  EXPECT_THAT(*store().LeasedBy("b", "1"), ElementsAre(id));
  EXPECT_THAT(*store().LeasedBy("b", "2"), IsEmpty());
  EXPECT_THAT(*store().LeasedBy("d", ""), IsEmpty());

  Add();
  EXPECT_THAT(*store().Claim(Claimant("e")), IsEmpty());  // the quota is used up

  ASSERT_OK(store().Update(id, [](Job& mine, absl::Time now, Effects& effects) {
    return Crash(mine, "b", "1", "", RetryPolicy{}, now, effects);
  }));
  EXPECT_FALSE(store().Get(id)->lease.has_value());
  EXPECT_THAT(*store().Claim(Claimant("e")), SizeIs(1));

  ASSERT_OK(store().Update(id, [](Job& mine, absl::Time now, Effects&) {
    mine.actual.seconds = 10;
    mine.actual.tokens = 6000;
    mine.state = JobState::kSucceeded;
    mine.lease.reset();
    mine.finish_time = now;
    return absl::OkStatus();
  }));
  EXPECT_EQ(store().Rate("sha256:base")->tokens_per_second, 200);  // of one of the three
}

TEST_P(JobStoreConformance, UpdatesOfOneBatchFailEachForItself) {
  const Job a = Add(), b = Add();
  const std::vector<JobUpdate> updates = {
      {a.id,
       [](Job& job, absl::Time, Effects&) {
         job.display_name = "changed";
         return absl::OkStatus();
       }},
      {b.id, [](Job&, absl::Time, Effects&) { return absl::AbortedError("no"); }},
      {ids_.NextId(), [](Job&, absl::Time, Effects&) { return absl::OkStatus(); }}};
  const std::vector<absl::StatusOr<Job>> results = store().UpdateAll(updates);
  ASSERT_THAT(results, SizeIs(3));
  EXPECT_EQ(results[0]->display_name, "changed");
  EXPECT_THAT(results[1], StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(results[2], StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(store().Get(a.id)->display_name, "changed");
  EXPECT_EQ(store().Get(b.id)->revision, b.revision);
}

TEST_P(JobStoreConformance, UpdatesOfManyThreadsAreAllWrittenOnce) {
  std::vector<JobId> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(Add().id);
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        EXPECT_OK(store().Update(ids[static_cast<size_t>(i) % ids.size()],
                                 [](Job& job, absl::Time, Effects& effects) {
                                   job.actual.tokens += 1;
                                   effects.events.emplace_back();
                                   return absl::OkStatus();
                                 }));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const JobId& id : ids) {
    ASSERT_OK_AND_ASSIGN(Job job, store().Get(id));
    EXPECT_EQ(job.actual.tokens, 32);
    EXPECT_THAT(*store().Events(id, 3, 100), SizeIs(32));
    EXPECT_EQ(job.last_event_sequence, 35);
  }
}

// Jobs on bases X and Y, for workers that have one of them in memory.
class JobBasesConformance : public JobStoreConformance {
 protected:
  JobId AddOn(const std::string& base, absl::Duration waited = absl::ZeroDuration(),
              int32_t priority = 0, const std::string& project = "default") {
    Job draft = Draft();
    draft.project = project;
    draft.priority = priority;
    const auto queue = [&](Job& job, absl::Time now, Effects& effects) {
      RETURN_IF_ERROR(Queue(job, now, effects));
      job.inputs.base_digest = base;
      job.ready_time = now - waited;
      return absl::OkStatus();
    };
    EXPECT_OK(store().Insert(draft, {}, queue));
    return draft.id;
  }

  // Each worker is named by the base that it has.
  ClaimRequest Having(const std::vector<std::string>& bases) {
    ClaimRequest request = Claimant("", 0);
    for (const std::string& base : bases) {
      request.claimants.push_back(
          {.worker = base,
           .incarnation = "life-1",
           .token_hash = random_.Hex(16),
           .rendezvous = "",
           .bases = base.empty() ? std::vector<std::string>() : std::vector<std::string>{base}});
    }
    return request;
  }

  // Who got which job.
  std::map<JobId, std::string> Claim(const ClaimRequest& request) {
    std::map<JobId, std::string> holders;
    const absl::StatusOr<std::vector<Job>> claimed = store().Claim(request);
    EXPECT_OK(claimed);
    for (const Job& job : *claimed) {
      holders[job.id] = job.lease->worker;
      for (const scheduler::Claimant& claimant : request.claimants) {
        if (claimant.token_hash == job.lease->token_hash) {
          EXPECT_EQ(claimant.worker, job.lease->worker);
          EXPECT_EQ(claimant.worker, job.worker);
        }
      }
    }
    return holders;
  }
  using Holders = std::map<JobId, std::string>;
};

TEST_P(JobBasesConformance, AmongJobsOfEqualRankTheOneWhoseBaseTheWorkerHasGoesFirst) {
  const JobId y = AddOn("y", absl::Seconds(30)), x1 = AddOn("x"), x2 = AddOn("x");
  EXPECT_EQ(Claim(Having({"x"})), (Holders{{x1, "x"}}));
  EXPECT_EQ(Claim(Having({""})), (Holders{{y, ""}}));  // who has none takes the first
  EXPECT_EQ(Claim(Having({"y"})), (Holders{{x2, "y"}}));
}

TEST_P(JobBasesConformance, AJobThatWaitedLongerOrIsMoreUrgentIsNotPassedOver) {
  const JobId urgent = AddOn("y", absl::ZeroDuration(), 1), old = AddOn("y", absl::Minutes(2));
  const JobId x = AddOn("x");
  for (const JobId& id : {urgent, old, x}) {
    EXPECT_EQ(Claim(Having({"x"})), (Holders{{id, "x"}}));
  }
}

TEST_P(JobBasesConformance, OnlyTheNextJobsAreLookedAt) {
  JobId first;
  for (size_t i = 0; i <= kJobsLookedAt; ++i) {
    const JobId id = AddOn("y");
    if (i == 0) first = id;
  }
  const JobId x = AddOn("x");
  EXPECT_EQ(Claim(Having({"x"})), (Holders{{first, "x"}}));
  EXPECT_EQ(Claim(Having({"x"})), (Holders{{x, "x"}}));
}

TEST_P(JobBasesConformance, TurnsOfProjectsQuotasAndWhatFitsComeBeforeBases) {
  const JobId a = AddOn("y", absl::Seconds(1), 0, "a"),
              b = AddOn("x", absl::ZeroDuration(), 0, "b");
  EXPECT_EQ(Claim(Having({"x"})), (Holders{{a, "x"}}));
  EXPECT_EQ(Claim(Having({"x"})), (Holders{{b, "x"}}));
  const JobId y = AddOn("y", absl::Seconds(1)), x = AddOn("x");
  ASSERT_OK(store().SetQuota("default", 1));
  EXPECT_EQ(Claim(Having({"x", "y"})), (Holders{{y, "y"}}));
  ASSERT_OK(store().SetQuota("default", std::nullopt));
  ClaimRequest request = Having({"x"});
  request.capabilities.queues = {"other"};
  EXPECT_THAT(Claim(request), IsEmpty());
  EXPECT_EQ(Claim(Having({"x"})), (Holders{{x, "x"}}));
}

TEST_P(JobBasesConformance, WorkersThatClaimTogetherGetTheJobsOfTheirBases) {
  const JobId x = AddOn("x"), y = AddOn("y");
  EXPECT_EQ(Claim(Having({"y", "x"})), (Holders{{x, "x"}, {y, "y"}}));
  const JobId later = AddOn("x");
  EXPECT_EQ(Claim(Having({"", "y", "x"})), (Holders{{later, "x"}}));
}

TEST_P(JobBasesConformance, TheLastOfTheJobsTakenGivesWay) {
  const JobId y1 = AddOn("y", absl::Seconds(30)), y2 = AddOn("y", absl::Seconds(20));
  const JobId x = AddOn("x"), z = AddOn("z");
  EXPECT_EQ(Claim(Having({"x", ""})), (Holders{{y1, ""}, {x, "x"}}));
  EXPECT_EQ(Claim(Having({"x", "z"})), (Holders{{y2, "x"}, {z, "z"}}));
}

TEST_P(JobBasesConformance, ManyClaimantsWithBasesGetEachJobOnce) {
  for (int i = 0; i < 60; ++i) AddOn(std::string(1, static_cast<char>('x' + i % 3)));
  std::vector<ClaimRequest> requests;
  for (int i = 0; i < 60; ++i)
    requests.push_back(Having({std::string(1, static_cast<char>('x' + i / 20))}));
  absl::Mutex mutex;
  std::set<JobId> claimed;
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = t; i < requests.size(); i += 6) {
        absl::StatusOr<std::vector<Job>> jobs = store().Claim(requests[i]);
        ASSERT_OK(jobs);
        absl::MutexLock lock(&mutex);
        for (const Job& job : *jobs) EXPECT_TRUE(claimed.insert(job.id).second);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  // A claim that swaps holds two rows for a moment, so that one beside it may find none left.
  for (int i = 0; i < 60 && claimed.size() < 60; ++i) {
    absl::StatusOr<std::vector<Job>> jobs = store().Claim(requests[i]);
    ASSERT_OK(jobs);
    for (const Job& job : *jobs) EXPECT_TRUE(claimed.insert(job.id).second);
  }
  EXPECT_THAT(claimed, SizeIs(60));
}

TEST_P(JobStoreConformance, AnUrgentJobFindsTheLeastUrgentOneThatRunsInItsPlace) {
  const auto add = [&](int32_t priority, const std::string& queue = "default") {
    Job draft = Draft();
    draft.priority = priority;
    draft.queue = queue;
    return Add(draft).id;
  };
  const auto find = [&](absl::Duration waited = absl::ZeroDuration()) {
    absl::StatusOr<std::optional<Preemption>> found = store().FindPreemption(waited, 20);
    EXPECT_OK(found);
    return *found;
  };
  WorkerRecord worker{.name = "w", .incarnation = "life-1"};
  worker.capabilities.queues = {"default"};
  ASSERT_OK(store().SawWorker(worker));
  const JobId less = add(5), least = add(0);
  ASSERT_THAT(*store().Claim(Claimant("w", 2)), SizeIs(2));
  EXPECT_FALSE(find().has_value());
  add(50, "elsewhere");  // w does not serve it
  add(19);               // not urgent enough
  EXPECT_FALSE(find().has_value());
  const JobId urgent = add(30);
  EXPECT_FALSE(find(absl::Hours(1)).has_value());  // has not waited long enough
  ASSERT_TRUE(find().has_value());
  EXPECT_EQ(find()->urgent, urgent);
  EXPECT_EQ(find()->running, least);
  ASSERT_OK(store().Update(least, [&](Job& job, absl::Time now, Effects& effects) {
    return AskToRelease(job, urgent, now, effects);
  }));
  EXPECT_TRUE(store().Get(least)->lease->asked_to_release);
  EXPECT_FALSE(find().has_value());  // one at a time
  ASSERT_OK(store().Update(
      least, [](Job& job, absl::Time now, Effects& effects) { return Pause(job, now, effects); }));
  EXPECT_EQ(find()->running, less);
}

TEST_P(JobStoreConformance, WhatEndedLongAgoIsRemovedUnlessAnotherJobMayWaitForIt) {
  const auto finish = [&](const JobId& id) {
    ASSERT_OK(store().Update(
        id, [](Job& job, absl::Time now, Effects& effects) { return Cancel(job, now, effects); }));
  };
  const Job old = Add(Draft(), {"r-1", "payload"}), needed = Add(), open = Add();
  Job draft = Draft();
  draft.depends_on = {needed.id};
  const Job waiting = Add(draft);
  finish(old.id);
  finish(needed.id);
  EXPECT_EQ(*store().RemoveEnded(absl::Hours(1), 10), 0);
  EXPECT_THAT(*store().Events(old.id, 0, 10), Not(IsEmpty()));
  EXPECT_EQ(*store().RemoveEnded(absl::ZeroDuration(), 10), 1);
  EXPECT_THAT(store().Get(old.id), StatusIs(absl::StatusCode::kNotFound));
  const absl::StatusOr<std::vector<JobEvent>> left = store().Events(old.id, 0, 10);
  // Whether the job exists need not be looked up for its events.
  if (left.ok()) {
    EXPECT_THAT(*left, IsEmpty());
  } else {
    EXPECT_THAT(left, StatusIs(absl::StatusCode::kNotFound));
  }
  EXPECT_THAT(*store().Events(needed.id, 0, 10), Not(IsEmpty()));
  EXPECT_FALSE(store().FindCreated("default", {"r-1", "payload"})->has_value());
  for (const JobId& id : {needed.id, open.id, waiting.id}) EXPECT_OK(store().Get(id));

  ASSERT_OK(store().SawWorker({.name = "w", .incarnation = "i"}));
  ASSERT_OK(store().Forget(absl::Hours(1)));
  EXPECT_THAT(*store().Workers("", 10), SizeIs(1));
  ASSERT_OK(store().Forget(absl::ZeroDuration()));
  EXPECT_THAT(*store().Workers("", 10), IsEmpty());
}

TEST_P(JobStoreConformance, ManyClaimantsNeverGetTheSameJob) {
  constexpr int kJobs = 60;
  for (int i = 0; i < kJobs; ++i) Add();
  std::mutex mutex;
  std::multiset<JobId> claimed;
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      while (true) {
        ClaimRequest request{.capabilities = {},
                             .ttl = absl::Seconds(30),
                             .claimants = {{"w" + std::to_string(t), "i", "hash"}}};
        absl::StatusOr<std::vector<Job>> jobs = store().Claim(request);
        ASSERT_OK(jobs);
        if (jobs->empty()) return;
        std::lock_guard lock(mutex);
        claimed.insert(jobs->at(0).id);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(claimed, SizeIs(kJobs));
  EXPECT_THAT(std::set<JobId>(claimed.begin(), claimed.end()), SizeIs(kJobs));
}

TEST_P(JobStoreConformance, ConcurrentWritersLeaveNoGapInTheSequence) {
  const Job job = Add();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10; ++i) {
        ASSERT_OK(store().Update(job.id, [](Job&, absl::Time, Effects& effects) {
          effects.events.emplace_back().message = "one";
          return absl::OkStatus();
        }));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_OK_AND_ASSIGN(std::vector<JobEvent> events, store().Events(job.id, 0, 1000));
  ASSERT_THAT(events, SizeIs(43));
  for (size_t i = 0; i < events.size(); ++i)
    EXPECT_EQ(events[i].sequence, static_cast<int64_t>(i) + 1);
}

TEST_P(JobStoreConformance, DueNamesExpiredBlockedAndUnvalidatedJobs) {
  const Job running = Add();
  ASSERT_OK(store().Claim(Claimant("w")));
  Job draft = Draft();
  ASSERT_OK_AND_ASSIGN(Job unvalidated, store().Insert(draft, {}, [](Job&, absl::Time, Effects&) {
    return absl::OkStatus();
  }));
  draft = Draft();
  draft.start_time = absl::Now() + absl::Hours(1);
  ASSERT_OK_AND_ASSIGN(Job later, store().Insert(draft, {}, &Queue));
  EXPECT_EQ(later.state, JobState::kBlocked);
  Add();
  EXPECT_THAT(*store().Due(10), ElementsAre(unvalidated.id));
  MakeExpired(running.id);
  EXPECT_THAT(*store().Due(10), ElementsAre(running.id, unvalidated.id));
  EXPECT_THAT(*store().Due(1), SizeIs(1));
}

TEST_P(JobStoreConformance, AnExpiredLeaseIsDueBeforeOlderJobsThatOnlyWait) {
  const Job unfinished = Add();
  ASSERT_OK(store().Claim(Claimant("w")));
  for (int i = 0; i < 3; ++i) {
    Job draft = Draft();
    draft.depends_on = {unfinished.id};
    ASSERT_OK(store().Insert(draft, {}, [](Job& job, absl::Time now, Effects& effects) {
      return Accept(job, {}, Dependencies::kWaiting, now, effects);
    }));
  }
  ASSERT_OK_AND_ASSIGN(Job unvalidated, store().Insert(Draft(), {}, [](Job&, absl::Time, Effects&) {
    return absl::OkStatus();
  }));
  Job draft = Draft();
  draft.deadline = absl::Now() - absl::Seconds(1);
  const Job overdue = Add(draft);
  EXPECT_THAT(*store().Due(10), ElementsAre(overdue.id, unvalidated.id));
  ASSERT_OK(store().Update(overdue.id, &EndOverdue));
  const Job leased = Add();
  ASSERT_OK(store().Claim(Claimant("w")));
  MakeExpired(leased.id);
  EXPECT_THAT(*store().Due(1), ElementsAre(leased.id));
  EXPECT_THAT(*store().Due(10), ElementsAre(leased.id, unvalidated.id));
}

TEST_P(JobStoreConformance, ABlockedJobIsDueWhenItsDependenciesHaveEndedOrOneHasFailed) {
  const Job first = Add();
  const Job second = Add();
  Job draft = Draft();
  draft.depends_on = {first.id, second.id};
  ASSERT_OK_AND_ASSIGN(Job waiting,
                       store().Insert(draft, {}, [](Job& job, absl::Time now, Effects& effects) {
                         return Accept(job, {}, Dependencies::kWaiting, now, effects);
                       }));
  const auto end = [&](const JobId& id, JobState state) {
    ASSERT_OK(store().Update(id, [&](Job& job, absl::Time now, Effects&) {
      job.state = state;
      job.finish_time = now;
      return absl::OkStatus();
    }));
  };
  EXPECT_THAT(*store().Due(10), IsEmpty());
  end(first.id, JobState::kSucceeded);
  EXPECT_THAT(*store().Due(10), IsEmpty());
  end(second.id, JobState::kSucceeded);
  EXPECT_THAT(*store().Due(10), ElementsAre(waiting.id));
  ASSERT_OK(store().Update(first.id, [](Job& job, absl::Time, Effects&) {
    job.state = JobState::kBlocked;
    job.finish_time.reset();
    job.start_time = absl::InfiniteFuture();
    return absl::OkStatus();
  }));
  EXPECT_THAT(*store().Due(10), IsEmpty());
  ASSERT_OK(store().Update(second.id, [](Job& job, absl::Time, Effects&) {
    job.state = JobState::kFailed;
    return absl::OkStatus();
  }));
  EXPECT_THAT(*store().Due(10), ElementsAre(waiting.id));
}

TEST_P(JobStoreConformance, AnUpdateWithAKeyHappensOnce) {
  const Job job = Add();
  const auto rename = [&](const RequestKey& key, const std::string& name) {
    return store().UpdateOnce(job.id, key, [&](Job& mine, absl::Time, Effects&) {
      if (name.empty()) return absl::AbortedError("no");
      mine.display_name = name;
      return absl::OkStatus();
    });
  };
  EXPECT_FALSE(rename({"r-1", "a"}, "").ok());  // leaves the key unused
  EXPECT_EQ(rename({"r-1", "a"}, "one")->display_name, "one");
  EXPECT_EQ(rename({"r-1", "a"}, "two")->display_name, "one");
  EXPECT_THAT(rename({"r-1", "b"}, "two"), HasReasonThat("REQUEST_ID_REUSED"));
  EXPECT_EQ(rename({}, "three")->display_name, "three");
}

TEST_P(JobStoreConformance, LeasesOfAWorkerAreFoundByItsIncarnation) {
  const Job job = Add();
  ASSERT_OK(store().Claim(Claimant("w")));
  EXPECT_THAT(*store().LeasedBy("w", "life-1"), ElementsAre(job.id));
  EXPECT_THAT(*store().LeasedBy("w", ""), ElementsAre(job.id));
  EXPECT_THAT(*store().LeasedBy("w", "life-2"), IsEmpty());
  EXPECT_THAT(*store().LeasedBy("x", "life-1"), IsEmpty());
}

TEST_P(JobStoreConformance, WorkersAreListedWithTheJobTheyHold) {
  WorkerRecord worker;
  worker.name = "b";
  worker.incarnation = "life-1";
  worker.capabilities.kinds = {JobKind::kSft, JobKind::kExport};
  worker.capabilities.threads = 2;
  worker.capabilities.base_digests = {"sha256:x", "sha256:y"};
  worker.capabilities.compute_types = {ComputeType::kBfloat16, ComputeType::kFloat32};
  EXPECT_EQ(*store().SawWorker(worker), WorkerLife::kSame);
  worker.incarnation = "life-2";
  EXPECT_EQ(*store().SawWorker(worker), WorkerLife::kNew);
  EXPECT_EQ(*store().SawWorker(worker), WorkerLife::kSame);
  worker.incarnation = "life-1";
  EXPECT_EQ(*store().SawWorker(worker), WorkerLife::kReplaced);
  worker.incarnation = "life-2";
  worker.name = "a";
  ASSERT_OK(store().SawWorker(worker));
  const Job job = Add();
  ASSERT_OK(store().Claim(Claimant("b")));
  ASSERT_OK_AND_ASSIGN(std::vector<WorkerRecord> workers, store().Workers("", 10));
  ASSERT_THAT(workers, SizeIs(2));
  EXPECT_EQ(workers[0].name, "a");
  EXPECT_EQ(workers[0].job, "");
  EXPECT_EQ(workers[1].incarnation, "life-2");
  EXPECT_EQ(workers[1].job, job.id);
  EXPECT_EQ(workers[1].capabilities.kinds, worker.capabilities.kinds);
  EXPECT_EQ(workers[1].capabilities.base_digests, worker.capabilities.base_digests);
  EXPECT_EQ(workers[1].capabilities.compute_types, worker.capabilities.compute_types);
  EXPECT_FALSE(workers[1].silent);
  EXPECT_THAT(*store().Workers("a", 10), SizeIs(1));
}

TEST_P(JobStoreConformance, AWorkerThatHasLeftIsListedAgainOnceItAsks) {
  WorkerRecord worker;
  worker.name = "w";
  for (const char* life : {"life-1", "life-2"}) {
    worker.incarnation = life;
    ASSERT_OK(store().SawWorker(worker));
  }
  ASSERT_OK(store().WorkerLeft("w", "life-1", ""));
  ASSERT_OK(store().WorkerLeft("x", "life-2", ""));
  EXPECT_THAT(*store().Workers("", 10), SizeIs(1)) << "neither is its present life";
  ASSERT_OK(store().WorkerLeft("w", "life-2", ""));
  EXPECT_THAT(*store().Workers("", 10), IsEmpty());
  worker.incarnation = "life-1";
  EXPECT_EQ(*store().SawWorker(worker), WorkerLife::kReplaced) << "that is not forgotten";
  worker.incarnation = "life-3";
  EXPECT_EQ(*store().SawWorker(worker), WorkerLife::kNew);
  EXPECT_THAT(*store().Workers("", 10), SizeIs(1));
}

WorkerUsage Using(double busy_ratio) {
  return {.devices = {{.kind = "cpu",
                       .memory_bytes = 3'000'000'000,
                       .memory_limit_bytes = 8'000'000'000,
                       .busy_ratio = busy_ratio}},
          .tokens_per_second = 250.5};
}

// As if heard at no time.
WorkerUsage Timeless(WorkerUsage usage) {
  usage.time = absl::Time();
  return usage;
}

TEST_P(JobStoreConformance, WhatAWorkerUsesIsAsItsBeatSaidAndWithoutAJobAsItSaidWhenItAsked) {
  WorkerRecord worker;
  worker.name = "w";
  worker.incarnation = "life-1";
  const auto read = [&] { return store().Workers("", 10)->at(0).usage; };
  ASSERT_OK(store().SawWorker(worker));
  EXPECT_FALSE(read().has_value());
  worker.usage = Using(0.25);
  ASSERT_OK(store().SawWorker(worker));
  ASSERT_TRUE(read().has_value());
  EXPECT_EQ(Timeless(*read()), Using(0.25));
  EXPECT_LE(absl::AbsDuration(read()->time - SystemClock().Now()), absl::Minutes(5));

  Add();
  ASSERT_OK_AND_ASSIGN(std::vector<Job> claimed, store().Claim(Claimant("w")));
  EXPECT_EQ(Timeless(*read()), Using(0.25));  // its first beat has not come
  const absl::Time heard = claimed[0].lease->grant_time + absl::Seconds(7);
  ASSERT_OK(store().Update(claimed[0].id, [&](Job& job, absl::Time, Effects& effects) {
    effects.notable = false;
    job.lease->usage = Using(0.75);
    job.lease->usage->time = heard;
    return absl::OkStatus();
  }));
  EXPECT_EQ(Timeless(*read()), Using(0.75));
  EXPECT_EQ(read()->time, heard);
  EXPECT_EQ(Timeless(*store().Get(claimed[0].id)->lease->usage), Using(0.75));
  ASSERT_OK(store().Update(claimed[0].id, [&](Job& job, absl::Time now, Effects& effects) {
    return Crash(job, "w", "", "", RetryPolicy{}, now, effects);
  }));
  EXPECT_EQ(Timeless(*read()), Using(0.25));
}

TEST_P(JobStoreConformance, AWorkerOfOneProjectIsLeftByThatProjectAlone) {
  WorkerRecord worker;
  worker.name = "w";
  worker.incarnation = "life-1";
  worker.only_project = "a";
  ASSERT_OK(store().SawWorker(worker));
  ASSERT_OK(store().WorkerLeft("w", "life-1", "b"));
  EXPECT_THAT(*store().Workers("", 10), SizeIs(1));
  worker.only_project = "b";  // who asks under its name and life does not make it theirs
  ASSERT_OK(store().SawWorker(worker));
  EXPECT_EQ(store().Workers("", 10)->front().only_project, "a");
  ASSERT_OK(store().WorkerLeft("w", "life-1", "b"));
  EXPECT_THAT(*store().Workers("", 10), SizeIs(1));
  ASSERT_OK(store().WorkerLeft("w", "life-1", "a"));
  EXPECT_THAT(*store().Workers("", 10), IsEmpty());
  worker.incarnation = "life-2";
  worker.only_project = "";  // of all projects: no project's alone
  ASSERT_OK(store().SawWorker(worker));
  ASSERT_OK(store().WorkerLeft("w", "life-2", "a"));
  EXPECT_THAT(*store().Workers("", 10), SizeIs(1));
  ASSERT_OK(store().WorkerLeft("w", "life-2", ""));
  EXPECT_THAT(*store().Workers("", 10), IsEmpty());
}

TEST_P(JobStoreConformance, AGangIsOfTheClaimantsThatCanHoldTheJob) {
  Job draft = Draft();
  draft.requirements = {.device = "", .memory_bytes = 1000, .gang_size = 2};
  const JobId large = Add(draft).id;
  draft.id = ids_.NextId();
  draft.requirements.memory_bytes = 10;
  const JobId small = Add(draft).id;
  draft.id = ids_.NextId();
  draft.requirements.gang_size = 4;
  Add(draft);
  ClaimRequest request = Claimant("w");
  request.claimants.clear();
  const auto arrive = [&](const std::string& name, int64_t memory, int32_t gang) {
    scheduler::Claimant claimant{name, "1", "hash " + name, name + ":7000"};
    claimant.memory_bytes = memory;
    claimant.gang = gang;
    request.claimants.push_back(std::move(claimant));
  };
  arrive("alone", 4000, 1);
  arrive("a", 2000, 2);
  EXPECT_THAT(*store().ClaimGang(request), IsEmpty());
  arrive("b", 500, 4);
  ASSERT_OK_AND_ASSIGN(std::vector<Job> claimed, store().ClaimGang(request));
  ASSERT_THAT(claimed, SizeIs(1));
  EXPECT_EQ(claimed[0].id, small);
  EXPECT_EQ(claimed[0].lease->gang.at(0).worker, "b");
  EXPECT_EQ(claimed[0].lease->gang.at(1).worker, "a");
  arrive("c", 0, 0);  // not known: all fits
  ASSERT_OK_AND_ASSIGN(claimed, store().ClaimGang(request));
  ASSERT_THAT(claimed, SizeIs(1));
  EXPECT_EQ(claimed[0].id, large);
  EXPECT_EQ(claimed[0].lease->rendezvous, "a:7000");
  EXPECT_EQ(claimed[0].lease->gang.at(1).worker, "c");
}

TEST_P(JobStoreConformance, AGangComputesInOneType) {
  Job draft = Draft();
  draft.requirements.gang_size = 2;
  const JobId first = Add(draft).id;
  draft.id = ids_.NextId();
  draft.spec.training.compute_type = ComputeType::kFloat32;
  const JobId of_float32 = Add(draft).id;
  ClaimRequest request = Claimant("w");
  request.claimants.clear();
  const auto arrive = [&](const std::string& name, std::vector<ComputeType> types) {
    scheduler::Claimant claimant{name, "1", "hash " + name, name + ":7000"};
    claimant.compute_types = std::move(types);
    request.claimants.push_back(std::move(claimant));
  };
  arrive("old", {ComputeType::kFloat32});
  arrive("new", {ComputeType::kBfloat16, ComputeType::kFloat32});
  ASSERT_OK_AND_ASSIGN(std::vector<Job> claimed, store().ClaimGang(request));
  ASSERT_THAT(claimed, SizeIs(1));
  EXPECT_EQ(claimed[0].id, of_float32) << "the first in rank would be computed in two types";
  request.claimants.clear();
  arrive("forced", {ComputeType::kBfloat16});
  arrive("newer", {ComputeType::kBfloat16, ComputeType::kFloat32});
  ASSERT_OK_AND_ASSIGN(claimed, store().ClaimGang(request));
  ASSERT_THAT(claimed, SizeIs(1));
  EXPECT_EQ(claimed[0].id, first);
  EXPECT_THAT(*store().ClaimGang(request), IsEmpty());
}

TEST_P(JobStoreConformance, EachOfAGangSaysForItselfWhatItUses) {
  Job draft = Draft();
  draft.requirements.gang_size = 2;
  Add(draft);
  ClaimRequest request = Claimant("a");
  request.claimants.push_back({"b", "life-1", random_.Hex(16)});
  request.claimants[0].rendezvous = "a:7000";
  ASSERT_OK_AND_ASSIGN(std::vector<Job> claimed, store().ClaimGang(request));
  for (const char* name : {"a", "b"}) {
    WorkerRecord worker;
    worker.name = name;
    worker.incarnation = "life-1";
    ASSERT_OK(store().SawWorker(worker));
  }
  ASSERT_OK(store().Update(claimed.at(0).id, [&](Job& job, absl::Time, Effects&) {
    job.lease->gang[0].usage = Using(0.5);
    job.lease->gang[1].usage = Using(1);
    return absl::OkStatus();
  }));
  ASSERT_OK_AND_ASSIGN(std::vector<WorkerRecord> workers, store().Workers("", 10));
  EXPECT_EQ(workers.at(0).usage->devices, Using(0.5).devices);
  EXPECT_EQ(workers.at(1).usage->devices, Using(1).devices);
}

TEST_P(JobStoreConformance, MetricsAreOnePointAStepAndALaterEpochReplaces) {
  const Job job = Add();
  const auto report = [&](int64_t step, int64_t epoch, double loss) {
    ASSERT_OK(store().Update(job.id, [&](Job&, absl::Time now, Effects& effects) {
      MetricPoint point;
      point.step = step;
      point.time = now;
      point.epoch = epoch;
      point.values = {{"train_loss", loss}};
      effects.metrics.push_back(point);
      return absl::OkStatus();
    }));
  };
  for (int64_t step = 1; step <= 6; ++step) report(step, 1, 9);
  report(5, 2, 3);
  report(6, 1, 7);
  report(5, 1, 8);  // the fenced worker's late word would not get here; the store refuses it anyway
  ASSERT_OK_AND_ASSIGN(std::vector<MetricPoint> points, store().Metrics(job.id, 0, 1, 100));
  ASSERT_THAT(points, SizeIs(6));
  EXPECT_EQ(points[4].values.at("train_loss"), 3);
  EXPECT_EQ(points[4].epoch, 2);
  EXPECT_EQ(points[5].values.at("train_loss"), 7);
  ASSERT_OK_AND_ASSIGN(std::vector<MetricPoint> thin, store().Metrics(job.id, 0, 2, 100));
  ASSERT_THAT(thin, SizeIs(3));
  EXPECT_EQ(thin[1].step, 3);
  ASSERT_OK_AND_ASSIGN(std::vector<MetricPoint> rest, store().Metrics(job.id, 3, 2, 1));
  ASSERT_THAT(rest, SizeIs(1));
  EXPECT_EQ(rest[0].step, 5);
}

TEST_P(JobStoreConformance, AClaimForgetsMetricsAboveTheResumePoint) {
  const Job job = Add();
  ASSERT_OK(store().Update(job.id, [](Job& mine, absl::Time now, Effects& effects) {
    mine.last_checkpoint_step = 4;
    for (int64_t step = 1; step <= 6; ++step) {
      MetricPoint point;
      point.step = step;
      point.time = now;
      effects.metrics.push_back(point);
    }
    return absl::OkStatus();
  }));
  ASSERT_OK(store().Claim(Claimant("w")));
  ASSERT_OK_AND_ASSIGN(std::vector<MetricPoint> points, store().Metrics(job.id, 0, 1, 100));
  ASSERT_THAT(points, SizeIs(4));
  EXPECT_EQ(points.back().step, 4);
}

TEST_P(JobStoreConformance, AWorkerOfAProjectClaimsItsJobsAlone) {
  Add();
  ClaimRequest request = Claimant("w");
  request.project = "other";
  EXPECT_THAT(*store().Claim(request), IsEmpty());
  request.project = "default";
  EXPECT_THAT(*store().Claim(request), SizeIs(1));
}

TEST_P(JobStoreConformance, CheckpointsAreReplacedByALaterEpochAndPrunedToThoseThatAreKept) {
  const Job job = Add();
  const auto record = [&](int64_t step, int64_t epoch, const std::string& digest) {
    ASSERT_OK(store().Update(job.id, [&](Job&, absl::Time now, Effects& effects) {
      Checkpoint checkpoint;
      checkpoint.step = step;
      checkpoint.epoch = epoch;
      checkpoint.digest = digest;
      checkpoint.adapter_digest = "sha256:same";
      checkpoint.create_time = now;
      checkpoint.metrics = {{"valid_loss", static_cast<double>(step)}};
      effects.checkpoints.push_back(checkpoint);
      return absl::OkStatus();
    }));
  };
  for (const int64_t step : {10, 20, 30, 40, 50}) {
    record(step, 1, "sha256:" + std::to_string(step));
  }
  ASSERT_OK(store().PinCheckpoint(job.id, 20, true));
  record(20, 2, "sha256:new");
  EXPECT_THAT(*store().PruneCheckpoints(job.id), ElementsAre("sha256:30"));
  EXPECT_THAT(*store().PruneCheckpoints(job.id), IsEmpty());
  ASSERT_OK_AND_ASSIGN(std::vector<Checkpoint> kept, store().Checkpoints(job.id));
  ASSERT_THAT(kept, SizeIs(4));  // 10 is the best; 20 of epoch 2, 50 and 40 are the last
  EXPECT_EQ(kept[0].step, 10);
  EXPECT_EQ(kept[1].digest, "sha256:new");
  EXPECT_TRUE(kept[1].pinned);
  EXPECT_EQ(kept[2].step, 40);
  EXPECT_THAT(store().PruneCheckpoints(ids_.NextId()), StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(JobStoreConformance, CheckpointsArePinnedAndListedByStep) {
  const Job job = Add();
  ASSERT_OK(store().Update(job.id, [&](Job&, absl::Time now, Effects& effects) {
    for (const int64_t step : {20, 10}) {
      Checkpoint checkpoint;
      checkpoint.step = step;
      checkpoint.digest = "sha256:" + std::to_string(step);
      checkpoint.create_time = now;
      checkpoint.metrics = {{"valid_loss", 0.5}};
      effects.checkpoints.push_back(checkpoint);
    }
    return absl::OkStatus();
  }));
  ASSERT_OK_AND_ASSIGN(Checkpoint pinned, store().PinCheckpoint(job.id, 10, true));
  EXPECT_TRUE(pinned.pinned);
  EXPECT_THAT(store().PinCheckpoint(job.id, 11, true), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK_AND_ASSIGN(std::vector<Checkpoint> checkpoints, store().Checkpoints(job.id));
  ASSERT_THAT(checkpoints, SizeIs(2));
  EXPECT_EQ(checkpoints[0].step, 10);
  EXPECT_TRUE(checkpoints[0].pinned);
  EXPECT_EQ(checkpoints[1].metrics.at("valid_loss"), 0.5);
  EXPECT_TRUE(*store().RefersTo("default", "sha256:20"));
  EXPECT_FALSE(*store().RefersTo("default", "sha256:30"));
  EXPECT_FALSE(*store().RefersTo("other", "sha256:20"));
}

TEST_P(JobStoreConformance, ListsAreFilteredAndPagedByCreation) {
  std::vector<JobId> ids;
  for (int i = 0; i < 5; ++i) {
    Job draft = Draft();
    draft.labels = {{"parity", i % 2 == 0 ? "even" : "odd"}};
    ids.push_back(Add(draft).id);
  }
  const auto list = [&](JobQuery query) {
    query.project = "default";
    std::vector<JobId> found;
    const std::vector<Job> listed = *store().List(query);
    for (const Job& job : listed) found.push_back(job.id);
    return found;
  };
  EXPECT_THAT(list({.filter = {}, .after = "", .limit = 2}), ElementsAre(ids[4], ids[3]));
  EXPECT_THAT(list({.filter = {}, .after = ids[3], .limit = 2}), ElementsAre(ids[2], ids[1]));
  EXPECT_THAT(list({.filter = {}, .oldest_first = true, .after = ids[2], .limit = 9}),
              ElementsAre(ids[3], ids[4]));
  JobFilter even;
  even.labels = {{"parity", "even"}};
  EXPECT_THAT(list({.filter = even, .after = ""}), ElementsAre(ids[4], ids[2], ids[0]));
  JobFilter running;
  running.states = {JobState::kRunning, JobState::kPausing};
  EXPECT_THAT(list({.filter = running, .after = ""}), IsEmpty());
  ASSERT_OK(store().Claim(Claimant("w")));
  EXPECT_THAT(list({.filter = running, .after = ""}), ElementsAre(ids[0]));
  JobFilter strange;
  strange.kind = JobKind::kExport;
  EXPECT_THAT(list({.filter = strange, .after = ""}), IsEmpty());
}

TEST_P(JobStoreConformance, DepthsCountUnfinishedJobs) {
  Add();
  Add();
  ASSERT_OK(store().Claim(Claimant("w")));
  int64_t queued = 0, running = 0;
  const auto listed = *store().Depths();
  for (const QueueDepth& depth : listed) {
    if (depth.state == JobState::kQueued) queued += depth.jobs;
    if (depth.state == JobState::kRunning) running += depth.jobs;
    EXPECT_EQ(depth.queue, "default");
    EXPECT_GE(depth.oldest, absl::ZeroDuration());
  }
  EXPECT_EQ(queued, 1);
  EXPECT_EQ(running, 1);
}

TEST_P(JobStoreConformance, TheWholeLifeOfAJobEndsInARegisteredModel) {
  const Job added = Add();
  ASSERT_OK_AND_ASSIGN(std::vector<Job> claimed, store().Claim(Claimant("w")));
  ASSERT_OK_AND_ASSIGN(Job done,
                       store().Update(added.id, [](Job& job, absl::Time now, Effects& effects) {
                         job.lease->token_hash = "unused";
                         Outcome outcome;
                         outcome.outputs.adapter_digest = "sha256:adapter";
                         outcome.actual.seconds = 10;
                         outcome.actual.tokens = 8000;
                         job.outputs = outcome.outputs;
                         job.actual = outcome.actual;
                         job.progress.step = job.resolved.steps / 2;
                         job.last_checkpoint_epoch = 1;
                         job.outputs.bytes = 77;
                         job.outputs.model_alias = "ft:new";
                         job.state = JobState::kSucceeded;
                         job.lease.reset();
                         job.finish_time = now;
                         ModelVersion version;
                         version.project = job.project;
                         version.model = "smollm2-ft";
                         version.kind = ModelKind::kAdapter;
                         version.digest = "sha256:adapter";
                         version.base_digest = "sha256:base";
                         version.source_job = job.id;
                         version.alias = "ft:new";
                         effects.models.push_back(version);
                         return absl::OkStatus();
                       }));
  ASSERT_OK_AND_ASSIGN(Job stored, store().Get(added.id));
  EXPECT_EQ(stored.last_checkpoint_epoch, 1);
  EXPECT_EQ(stored.outputs.bytes, 77);
  EXPECT_EQ(stored.outputs.model_alias, "ft:new");
  EXPECT_TRUE(done.finish_time.has_value());
  EXPECT_EQ(stores_->models().GetVersion("default", "-", "sha256:adapter")->source_job, added.id);
  EXPECT_TRUE(*store().RefersTo("default", "sha256:adapter"));
  ASSERT_OK_AND_ASSIGN(MeasuredRate rate, store().Rate("sha256:base"));
  EXPECT_EQ(rate.jobs, 1);
  EXPECT_EQ(rate.tokens_per_second, 800);
  EXPECT_EQ(rate.tokens_per_row, 10);
  EXPECT_DOUBLE_EQ(rate.work_per_second, 2e11);  // half of the steps ran
  EXPECT_DOUBLE_EQ(rate.work_per_second_lower, 2e11);
  EXPECT_DOUBLE_EQ(rate.work_per_second_upper, 2e11);
  EXPECT_EQ(store().Rate("sha256:other")->jobs, 0);
}

TEST_P(JobStoreConformance, JobsThatMakeEqualBytesAtOnceShareOneVersionAndItsAlias) {
  std::vector<JobId> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(Add().id);
  std::vector<std::thread> threads;
  for (const JobId& id : ids) {
    threads.emplace_back([&, id] {
      EXPECT_OK(store().Update(id, [&](Job& job, absl::Time, Effects& effects) {
        ModelVersion version;
        version.project = job.project;
        version.model = "smollm2-ft";
        version.kind = ModelKind::kAdapter;
        version.digest = "sha256:adapter";
        version.base_digest = "sha256:base";
        version.alias = "ft:" + id;
        job.outputs.model_alias = version.alias;
        effects.models.push_back(version);
        return absl::OkStatus();
      }));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const JobId& id : ids) {
    const std::string alias = store().Get(id)->outputs.model_alias;
    EXPECT_OK(stores_->models().GetVersion("default", "-", alias)) << alias;
  }
}

TEST_P(JobStoreConformance, ALeaderRunsItsPassAndReturnsItsError) {
  int runs = 0;
  EXPECT_OK(store().AsLeader([&] {
    ++runs;
    return absl::OkStatus();
  }));
  EXPECT_EQ(runs, 1);
  EXPECT_THAT(store().AsLeader([] { return absl::AbortedError("no"); }),
              StatusIs(absl::StatusCode::kAborted));
}

INSTANTIATE_TEST_SUITE_P(Stores, JobStoreConformance, ::testing::Values("Fake", "Postgres"),
                         [](const auto& info) { return std::string(info.param); });
INSTANTIATE_TEST_SUITE_P(Stores, JobBasesConformance, ::testing::Values("Fake", "Postgres"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace crossover::scheduler
