// What every JobStore promises of storing, changing and listing jobs, tried on the fake and on
// Postgres.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "services/training_scheduler/storage/job_store_fixture.h"

namespace crossover::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

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

INSTANTIATE_TEST_SUITE_P(Stores, JobStoreConformance, ::testing::Values("Fake", "Postgres"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace crossover::scheduler
