// What every PipelineStore promises, tried on the fake and on Postgres.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "common/id/random.h"
#include "common/id/uuid7.h"
#include "common/testing/matchers.h"
#include "common/testing/pg_fixture.h"
#include "common/time/clock.h"
#include "services/training_scheduler/domain/fake_pipeline_store.h"
#include "services/training_scheduler/storage/embedded_sql.h"
#include "services/training_scheduler/storage/pg_pipeline_store.h"

namespace crossover::scheduler {
namespace {

using ::testing::SizeIs;

class PipelineStoreConformance : public ::testing::TestWithParam<const char*> {
 protected:
  PipelineStoreConformance() {
    if (std::string(GetParam()) == "Fake") {
      store_ = std::make_unique<FakePipelineStore>(SystemClock());
    } else {
      database_ = std::make_unique<crossover::testing::PgDatabase>(
          std::vector<pg::SchemaMigrations>{Migrations()});
      pool_ = database_->NewPool("scheduler");
      store_ = std::make_unique<PgPipelineStore>(*pool_);
    }
  }

  Pipeline DraftPipeline() {
    Pipeline pipeline;
    pipeline.id = ids_.NextId();
    pipeline.project = "default";
    pipeline.labels = {{"team", "legal"}};
    for (const char* id : {"train", "export"}) {
      PipelineStep step;
      step.id = id;
      step.kind = std::string(id) == "train" ? StepKind::kJob : StepKind::kExport;
      step.resource = R"({"quote": "it's \"fine\""})";
      pipeline.steps.push_back(step);
    }
    return pipeline;
  }

  Pipeline AddPipeline() {
    absl::StatusOr<Pipeline> added = store_->Insert(DraftPipeline(), {});
    EXPECT_OK(added);
    return *added;
  }

  // Applies a finding to step 0.
  Pipeline Found(const Pipeline& pipeline, const std::function<bool(Pipeline&)>& finding) {
    absl::StatusOr<Pipeline> updated =
        store_->Update(pipeline.project, pipeline.id,
                       [&](Pipeline& mine) -> absl::StatusOr<bool> { return finding(mine); });
    EXPECT_OK(updated);
    return *updated;
  }

  bool NoneIsDue() { return !store_->Claim(absl::Hours(1))->has_value(); }

  FakeRandom random_;
  UuidGenerator ids_{SystemClock(), random_};
  std::unique_ptr<crossover::testing::PgDatabase> database_;
  std::unique_ptr<pg::Pool> pool_;
  std::unique_ptr<PipelineStore> store_;
};

TEST_P(PipelineStoreConformance, APipelineComesBackAsItWasStoredOncePerRequest) {
  const RequestKey key{"request-1", "sha256:payload"};
  const Pipeline draft = DraftPipeline();
  ASSERT_OK_AND_ASSIGN(Pipeline stored, store_->Insert(draft, key));
  EXPECT_EQ(stored.id, draft.id);
  EXPECT_EQ(stored.labels, draft.labels);
  EXPECT_EQ(stored.state, PipelineState::kRunning);
  ASSERT_THAT(stored.steps, SizeIs(2));
  EXPECT_EQ(stored.steps[0].id, "train");
  EXPECT_EQ(stored.steps[0].resource, draft.steps[0].resource);
  EXPECT_EQ(stored.steps[1].kind, StepKind::kExport);
  EXPECT_EQ(stored.steps[1].attempt, 1);
  ASSERT_OK_AND_ASSIGN(Pipeline again, store_->Insert(DraftPipeline(), key));
  EXPECT_EQ(again.id, draft.id);
  EXPECT_THAT(again.steps, SizeIs(2));
  EXPECT_THAT(store_->Insert(DraftPipeline(), {"request-1", "sha256:other"}),
              HasReasonThat("REQUEST_ID_REUSED"));
  EXPECT_THAT(store_->Get("other", draft.id), HasReasonThat("RESOURCE_NOT_FOUND"));
}

TEST_P(PipelineStoreConformance, ListsAreFilteredAndPagedNewestFirst) {
  const std::string first = AddPipeline().id;
  const Pipeline second = AddPipeline();
  ASSERT_OK_AND_ASSIGN(std::vector<Pipeline> page,
                       store_->List({.project = "default", .limit = 1}));
  ASSERT_THAT(page, SizeIs(1));
  EXPECT_EQ(page[0].id, second.id);
  EXPECT_THAT(page[0].steps, SizeIs(2));
  ASSERT_OK_AND_ASSIGN(page, store_->List({.project = "default", .before = second.id}));
  ASSERT_THAT(page, SizeIs(1));
  EXPECT_EQ(page[0].id, first);
  EXPECT_THAT(*store_->List({.project = "default", .labels = {{"team", "legal"}}}), SizeIs(2));
  EXPECT_THAT(*store_->List({.project = "default", .labels = {{"team", "x"}}}), SizeIs(0));
  EXPECT_THAT(*store_->List({.project = "default", .state = PipelineState::kFailed}), SizeIs(0));
  EXPECT_THAT(*store_->List({.project = "other"}), SizeIs(0));
}

TEST_P(PipelineStoreConformance, AClaimIsDueAgainAfterItsPauseOrWhenSomethingChanges) {
  const Pipeline pipeline = AddPipeline();
  ASSERT_OK_AND_ASSIGN(std::optional<Pipeline> claimed, store_->Claim(absl::Hours(1)));
  EXPECT_EQ(claimed->id, pipeline.id);
  EXPECT_TRUE(NoneIsDue());
  Found(pipeline, [](Pipeline& mine) { return StepBegun(mine, 0, 1); });
  ASSERT_OK_AND_ASSIGN(claimed, store_->Claim(absl::ZeroDuration()));
  EXPECT_EQ(claimed->steps[0].state, PipelineState::kRunning);
  ASSERT_OK_AND_ASSIGN(claimed, store_->Claim(absl::Hours(1)));
  EXPECT_TRUE(claimed.has_value());
  Found(pipeline, [](Pipeline&) { return false; });  // nothing new
  EXPECT_TRUE(NoneIsDue());
}

TEST_P(PipelineStoreConformance, WhatHasEndedIsNeverDue) {
  const Pipeline pipeline = AddPipeline();
  Found(pipeline, [](Pipeline& mine) { return StepBegun(mine, 0, 1); });
  Found(pipeline,
        [](Pipeline& mine) { return StepCreated(mine, 0, 1, "projects/default/jobs/j"); });
  const Pipeline failed = Found(pipeline, [](Pipeline& mine) {
    return StepEnded(mine, 0, 1, PipelineState::kFailed, "out of luck");
  });
  EXPECT_EQ(failed.state, PipelineState::kFailed);
  EXPECT_EQ(failed.steps[0].error, "out of luck");
  EXPECT_GE(failed.update_time, pipeline.update_time);
  EXPECT_TRUE(NoneIsDue());
  const Pipeline resumed =
      Found(pipeline, [](Pipeline& mine) { return ResumePipeline(mine).ok(); });
  EXPECT_TRUE(resumed.steps[0].go_on);
  EXPECT_EQ(resumed.steps[0].attempt, 2);
  EXPECT_FALSE(NoneIsDue());
}

TEST_P(PipelineStoreConformance, AnErrorOfTheMutationWritesNothing) {
  const Pipeline pipeline = AddPipeline();
  EXPECT_FALSE(store_
                   ->Update("default", pipeline.id,
                            [](Pipeline& mine) -> absl::StatusOr<bool> {
                              mine.state = PipelineState::kFailed;
                              return absl::InternalError("no");
                            })
                   .ok());
  EXPECT_EQ(store_->Get("default", pipeline.id)->state, PipelineState::kRunning);
  EXPECT_THAT(
      store_->Update("other", pipeline.id, [](Pipeline&) -> absl::StatusOr<bool> { return true; }),
      HasReasonThat("RESOURCE_NOT_FOUND"));
}

TEST_P(PipelineStoreConformance, WhatHasEndedGoesAfterAWhileWithItsSteps) {
  const RequestKey key{"request-1", "sha256:payload"};
  ASSERT_OK_AND_ASSIGN(const Pipeline ended, store_->Insert(DraftPipeline(), key));
  Found(ended, [](Pipeline& mine) { return CancelPipeline(mine).ok(); });
  const Pipeline running = AddPipeline();
  const Pipeline cancelling = AddPipeline();
  Found(cancelling, [](Pipeline& mine) { return StepBegun(mine, 0, 1); });
  const Pipeline half = Found(cancelling, [](Pipeline& mine) { return CancelPipeline(mine).ok(); });
  EXPECT_EQ(half.state, PipelineState::kCancelled);
  EXPECT_EQ(*store_->RemoveEnded(absl::Hours(1), 10), 0);
  EXPECT_OK(store_->Get("default", ended.id));
  EXPECT_EQ(*store_->RemoveEnded(absl::ZeroDuration(), 0), 0);
  EXPECT_EQ(*store_->RemoveEnded(absl::ZeroDuration(), 10), 1);
  EXPECT_THAT(store_->Get("default", ended.id), HasReasonThat("RESOURCE_NOT_FOUND"));
  for (const std::string& id : {running.id, cancelling.id}) {
    EXPECT_THAT(store_->Get("default", id)->steps, SizeIs(2));
  }
  ASSERT_OK_AND_ASSIGN(const Pipeline again, store_->Insert(DraftPipeline(), key));
  EXPECT_NE(again.id, ended.id);
}

INSTANTIATE_TEST_SUITE_P(Stores, PipelineStoreConformance, ::testing::Values("Fake", "Postgres"),
                         [](const auto& info) { return std::string(info.param); });

// What only Postgres can show.
TEST(PgPipelineStoreTest, TheSchemaRefusesTwoRunningStepsAndSuccessWithoutAnOutput) {
  crossover::testing::PgDatabase database{{Migrations()}};
  std::unique_ptr<pg::Pool> pool = database.NewPool("scheduler");
  PgPipelineStore store(*pool);
  FakeRandom random;
  UuidGenerator ids{SystemClock(), random};
  Pipeline pipeline;
  pipeline.id = ids.NextId();
  pipeline.project = "default";
  pipeline.steps.resize(2);
  pipeline.steps[0].id = "a";
  pipeline.steps[1].id = "b";
  ASSERT_OK(store.Insert(pipeline, {}));
  const auto set = [&](const std::function<void(Pipeline&)>& change) {
    return store
        .Update("default", pipeline.id,
                [&](Pipeline& mine) -> absl::StatusOr<bool> {
                  change(mine);
                  return true;
                })
        .status();
  };
  const absl::Status two = set(
      [](Pipeline& mine) { mine.steps[0].state = mine.steps[1].state = PipelineState::kRunning; });
  EXPECT_EQ(DetailOf(two).metadata["constraint"], "one_step_runs");
  const absl::Status bare =
      set([](Pipeline& mine) { mine.steps[0].state = PipelineState::kSucceeded; });
  EXPECT_EQ(DetailOf(bare).metadata["constraint"], "success_has_an_output");
}

}  // namespace
}  // namespace crossover::scheduler
