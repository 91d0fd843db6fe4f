// What every JobStore promises of preemption: no job gives its place to one that would not get it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "services/training_scheduler/storage/job_store_fixture.h"

namespace crossover::scheduler {
namespace {

class PreemptionConformance : public JobStoreConformance {
 protected:
  Job DraftOf(const std::string& project, int32_t priority) {
    Job draft = Draft();
    draft.project = project;
    draft.priority = priority;
    return draft;
  }
  JobId AddOf(const std::string& project, int32_t priority) {
    return Add(DraftOf(project, priority)).id;
  }

  // A worker that has asked for work, and what it was given.
  JobId Run(const std::string& worker, const std::string& only_project = "") {
    EXPECT_OK(
        store().SawWorker({.name = worker, .incarnation = "life-1", .only_project = only_project}));
    ClaimRequest request = Claimant(worker);
    request.project = only_project;
    absl::StatusOr<std::vector<Job>> claimed = store().Claim(request);
    EXPECT_OK(claimed);
    EXPECT_EQ(claimed->size(), 1u);
    return claimed->at(0).id;
  }

  std::optional<Preemption> Find() {
    absl::StatusOr<std::optional<Preemption>> found =
        store().FindPreemption(absl::ZeroDuration(), 20);
    EXPECT_OK(found);
    return *found;
  }

  // As Release moves a job that was preempted.
  void GiveBack(const JobId& id) {
    EXPECT_OK(store().Update(id, [](Job& job, absl::Time now, Effects&) {
      job.lease.reset();
      job.state = JobState::kQueued;
      job.ready_time = now;
      return absl::OkStatus();
    }));
  }

  // Who is claimed next by the worker, once the place has been given back.
  JobId AfterPreemption(const Preemption& found, const std::string& worker) {
    GiveBack(found.running);
    return store().Claim(Claimant(worker))->at(0).id;
  }
};

TEST_P(PreemptionConformance, AProjectThatHoldsMoreTakesNoPlaceOfOneThatHoldsLess) {
  for (int i = 0; i < 3; ++i) {
    AddOf("a", 50);
    Run("a" + std::to_string(i));
  }
  const JobId victim = AddOf("b", 0);
  Run("b0");
  const JobId urgent = AddOf("a", 50);
  EXPECT_FALSE(Find().has_value());  // b's job would get its worker back at once
  // Of its own project it takes one that is less urgent.
  GiveBack(victim);
  ASSERT_OK(store().Update(victim, [](Job& job, absl::Time now, Effects& effects) {
    return Cancel(job, now, effects);
  }));
  ASSERT_OK(store().Update(urgent, [](Job& job, absl::Time, Effects&) {
    job.priority = 80;
    return absl::OkStatus();
  }));
  ASSERT_TRUE(Find().has_value());
  EXPECT_EQ(Find()->urgent, urgent);
  EXPECT_EQ(AfterPreemption(*Find(), "a2"), urgent);
}

TEST_P(PreemptionConformance, AProjectThatHoldsLessTakesAPlaceOfOneThatHoldsAsManyAfterwards) {
  AddOf("b", 0);
  Run("b0");
  const JobId urgent = AddOf("a", 50);
  ASSERT_TRUE(Find().has_value());
  EXPECT_EQ(Find()->urgent, urgent);
  EXPECT_EQ(AfterPreemption(*Find(), "b0"), urgent);
}

TEST_P(PreemptionConformance, AProjectAtItsQuotaTakesOnlyItsOwnPlaces) {
  for (int i = 0; i < 3; ++i) {
    AddOf("b", 0);
    Run("b" + std::to_string(i));
  }
  const JobId own = AddOf("a", 0);
  Run("a0");
  const JobId urgent = AddOf("a", 50);
  ASSERT_OK(store().SetQuota("a", 1));
  ASSERT_TRUE(Find().has_value());
  EXPECT_EQ(Find()->running, own);
  ASSERT_OK(store().SetQuota("a", 0));  // below what it holds: not even those
  EXPECT_FALSE(Find().has_value());
  ASSERT_OK(store().SetQuota("a", 2));
  ASSERT_TRUE(Find().has_value());
  EXPECT_EQ(Find()->urgent, urgent);
}

TEST_P(PreemptionConformance, AGangTakesNoPlaces) {
  AddOf("a", 0);
  Run("w");
  Job draft = DraftOf("a", 50);
  draft.requirements.gang_size = 2;
  Add(draft);
  EXPECT_FALSE(Find().has_value());  // singles are served first, the victim among them
  AddOf("a", 40);
  EXPECT_TRUE(Find().has_value());
}

TEST_P(PreemptionConformance, AJobTakesNoPlaceOnAnotherProjectsWorker) {
  for (int i = 0; i < 2; ++i) {
    AddOf("b", 0);
    Run("b" + std::to_string(i), "b");
  }
  const JobId urgent = AddOf("a", 50);
  EXPECT_FALSE(Find().has_value());
  ASSERT_OK(store().SawWorker({.name = "b0", .incarnation = "life-2"}));  // with anybody's key
  ASSERT_TRUE(Find().has_value());
  EXPECT_EQ(store().Get(Find()->running)->worker, "b0");
  EXPECT_EQ(AfterPreemption(*Find(), "b0"), urgent);
}

TEST_P(PreemptionConformance, NobodyStopsForAnUrgentJobThatOthersAreBefore) {
  const JobId running = AddOf("a", 0);
  Run("w");
  const JobId old = AddOf("a", 0);
  ASSERT_OK(store().Update(old, [](Job& job, absl::Time now, Effects&) {
    job.ready_time = now - absl::Hours(24);  // before 50 points of priority
    return absl::OkStatus();
  }));
  AddOf("a", 50);
  EXPECT_FALSE(Find().has_value());
  ASSERT_OK(store().Update(
      old, [](Job& job, absl::Time now, Effects& effects) { return Cancel(job, now, effects); }));
  ASSERT_TRUE(Find().has_value());
  EXPECT_EQ(Find()->running, running);
}

TEST_P(PreemptionConformance, NobodyStopsForAnUrgentJobWhileAThirdProjectsTurnIsBefore) {
  const JobId own = AddOf("a", 0);
  Run("a0");
  for (int i = 0; i < 2; ++i) {
    AddOf("b", 0);
    Run("b" + std::to_string(i));
  }
  const JobId urgent = AddOf("a", 50);
  AddOf("c", 0);  // would get the place of b's
  ASSERT_TRUE(Find().has_value());
  EXPECT_EQ(Find()->running, own);
  EXPECT_EQ(AfterPreemption(*Find(), "a0"), urgent);
}

INSTANTIATE_TEST_SUITE_P(Stores, PreemptionConformance, ::testing::Values("Fake", "Postgres"),
                         [](const auto& param) { return std::string(param.param); });

}  // namespace
}  // namespace crossover::scheduler
