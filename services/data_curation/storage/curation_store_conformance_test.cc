// One suite for every implementation of CurationStore.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/id/random.h"
#include "common/id/uuid7.h"
#include "common/testing/matchers.h"
#include "common/testing/pg_fixture.h"
#include "common/time/fake_clock.h"
#include "services/data_curation/domain/fake_curation_store.h"
#include "services/data_curation/storage/pg_curation_store.h"

namespace crossover::curation {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A store, and a way to let time pass.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual CurationStore& store() = 0;
  virtual void ExpireLeases() = 0;
};

class FakeBackend final : public Backend {
 public:
  CurationStore& store() override { return store_; }
  void ExpireLeases() override { clock_.Advance(absl::Hours(1)); }

 private:
  FakeClock clock_;
  FakeCurationStore store_{clock_};
};

class PgBackend final : public Backend {
 public:
  CurationStore& store() override { return store_; }
  void ExpireLeases() override {
    db_.Execute(
        "UPDATE curation.run SET lease_expire_time = now() - interval '1 second' WHERE state = "
        "'RUNNING'");
  }

 private:
  testing::PgDatabase db_{{PgCurationStore::RequiredMigrations()}};
  std::unique_ptr<pg::Pool> pool_ = db_.NewPool("curation");
  PgCurationStore store_{*pool_};
};

class CurationStoreTest : public ::testing::TestWithParam<bool> {
 protected:
  CurationStoreTest() {
    if (GetParam()) {
      backend_ = std::make_unique<PgBackend>();
    } else {
      backend_ = std::make_unique<FakeBackend>();
    }
  }
  CurationStore& store() { return backend_->store(); }

  FileRecord NewFile() {
    return {.project = "default",
            .id = ids_.NextId(),
            .labels = {{"team", "ops"}},
            .filename = "rows.jsonl",
            .purpose = "fine-tune"};
  }
  DatasetRecord Dataset(const std::string& id = "d") {
    auto dataset = store().CreateDataset({.project = "default",
                                          .id = id,
                                          .task = "t",
                                          .licence = "MIT",
                                          .sources = {{"u", "sha256:1", "MIT"}}},
                                         {});
    EXPECT_OK(dataset);
    return *dataset;
  }
  RunRecord NewRun(const std::string& dataset = "d") {
    RunRecord run{.project = "default", .dataset = dataset, .id = ids_.NextId()};
    run.inputs = {{.source = "projects/default/files/x",
                   .split = "train",
                   .resolved = {.digest = "sha256:f", .split = "train"}}};
    run.resolved_recipe = {.stages = {{"split", {{"train", 0.8}}}}, .seed = 3};
    run.recipe_digest = "sha256:r";
    return run;
  }
  RunRecord Claimed() {
    auto run = store().ClaimRun("w", absl::Seconds(30));
    EXPECT_OK(run);
    EXPECT_TRUE(run->has_value());
    return **run;
  }
  std::vector<std::string> EventsOf(const RunRecord& run) {
    std::vector<std::string> messages;
    int64_t expected = 0;
    const auto events = store().ListRunEvents("default", run.id, 0, 100);
    for (const RunEvent& event : *events) {
      EXPECT_EQ(event.sequence, ++expected);
      messages.push_back(event.message);
    }
    return messages;
  }

  FakeRandom random_{7};
  UuidGenerator ids_{SystemClock(), random_};
  std::unique_ptr<Backend> backend_;
};

INSTANTIATE_TEST_SUITE_P(Stores, CurationStoreTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Postgres" : "Fake"; });

TEST_P(CurationStoreTest, AFileKeepsWhatItWasGiven) {
  FileRecord file = NewFile();
  ASSERT_OK(store().CreateFile(file, {}));
  auto stored = store().GetFile("default", file.id);
  ASSERT_OK(stored);
  EXPECT_EQ(stored->labels.at("team"), "ops");
  stored->state = FileState::kReady;
  stored->sha256 = "sha256:1";
  stored->size_bytes = 12;
  stored->format = FileFormat::kPreference;
  stored->row_count = 3;
  stored->expire_time = absl::FromUnixSeconds(2'000'000'000);
  ASSERT_OK(store().UpdateFile(*stored));
  const auto again = store().GetFile("default", file.id);
  EXPECT_EQ(again->state, FileState::kReady);
  EXPECT_EQ(again->format, FileFormat::kPreference);
  EXPECT_EQ(again->row_count, 3);
  EXPECT_EQ(again->expire_time, stored->expire_time);
  EXPECT_THAT(store().UpdateFile(*stored), HasReasonThat("ETAG_MISMATCH"));
  EXPECT_OK(store().DeleteFile("default", file.id));
  EXPECT_THAT(store().GetFile("default", file.id), HasReasonThat("RESOURCE_NOT_FOUND"));
  EXPECT_THAT(store().GetFile("default", "no id at all"), HasReasonThat("RESOURCE_NOT_FOUND"));
}

TEST_P(CurationStoreTest, ARepeatedRequestGivesTheStoredResourceAndAnotherPayloadIsRefused) {
  const FileRecord first = NewFile();
  ASSERT_OK(store().CreateFile(first, {"request-1", "payload-a"}));
  const auto repeated = store().CreateFile(NewFile(), {"request-1", "payload-a"});
  ASSERT_OK(repeated);
  EXPECT_EQ(repeated->id, first.id);
  EXPECT_THAT(store().CreateFile(NewFile(), {"request-1", "payload-b"}),
              HasReasonThat("REQUEST_ID_REUSED"));
}

TEST_P(CurationStoreTest, ProblemsAreReadInPages) {
  const FileRecord file = NewFile();
  ASSERT_OK(store().CreateFile(file, {}));
  const std::vector<Problem> problems = {
      {536, "messages[2].content", "row_invalid", "line 536: messages[2].content is missing"},
      {540, "id", "unknown_key", "line 540: …", Problem::Severity::kWarning},
      {541, "", "row_invalid", "line 541: \xff not UTF-8"}};
  ASSERT_OK(store().PutProblems("default", file.id, {problems[0]}));
  ASSERT_OK(store().PutProblems("default", file.id, problems));
  EXPECT_THAT(*store().ListProblems("default", file.id, 0, 2),
              ElementsAre(problems[0], problems[1]));
  EXPECT_EQ(store().ListProblems("default", file.id, 2, 2)->size(), 1u);
}

TEST_P(CurationStoreTest, ListsAreNewestFirstAndGoOnWhereThePageEnded) {
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(store().CreateFile(NewFile(), {})->id);
  std::vector<std::string> seen;
  std::string after;
  while (true) {
    const auto page = store().ListFiles({.project = "default", .after = after, .limit = 2});
    ASSERT_OK(page);
    if (page->records.empty()) break;
    for (const FileRecord& file : page->records) seen.push_back(file.id);
    after = page->positions.back();
  }
  EXPECT_THAT(seen, ElementsAre(ids[4], ids[3], ids[2], ids[1], ids[0]));
  EXPECT_THAT(store().ListFiles({.project = "other"})->records, IsEmpty());
}

TEST_P(CurationStoreTest, ADataSetIsUniqueByNameAndChangesByRevision) {
  DatasetRecord dataset = Dataset();
  EXPECT_THAT(store().CreateDataset(dataset, {}), HasReasonThat("RESOURCE_EXISTS"));
  dataset.licence = "CC-BY-4.0";
  ASSERT_OK(store().UpdateDataset(dataset));
  EXPECT_EQ(store().GetDataset("default", "d")->licence, "CC-BY-4.0");
  EXPECT_EQ(store().GetDataset("default", "d")->sources, dataset.sources);
  EXPECT_THAT(store().UpdateDataset(dataset), HasReasonThat("ETAG_MISMATCH"));
}

TEST_P(CurationStoreTest, ARunGoesFromQueuedToSucceededWithGapFreeEvents) {
  Dataset();
  EXPECT_THAT(store().CreateRun(NewRun("nowhere"), {}), HasReasonThat("RESOURCE_NOT_FOUND"));
  ASSERT_OK(store().CreateRun(NewRun(), {}));
  RunRecord run = Claimed();
  EXPECT_EQ(run.state, RunState::kRunning);
  EXPECT_EQ(run.inputs[0].resolved.split, "train");
  EXPECT_EQ(run.resolved_recipe.stages[0].parameters["train"], 0.8);
  EXPECT_FALSE(store().ClaimRun("w2", absl::Seconds(30))->has_value());
  FunnelStep step{.stage = "import", .rows_in = 5, .rows_out = 4, .dropped = {{"row_invalid", 1}}};
  ASSERT_OK(store().RecordStep(run, step));
  ASSERT_OK(store().RecordStep(run, step)) << "a repeat, as after a commit nobody heard of";
  EXPECT_EQ(store().GetRun("default", run.id)->funnel.size(), 1u);
  EXPECT_EQ(store().GetRun("default", run.id)->funnel.at(0).dropped.at("row_invalid"), 1);
  run.funnel = {step};
  run.state = RunState::kSucceeded;
  run.rows_artifact = "sha256:a";
  run.states_digest = "sha256:s";
  ASSERT_OK(store().FinishRun(run));
  const auto done = store().GetRun("default", run.id);
  EXPECT_EQ(done->state, RunState::kSucceeded);
  EXPECT_TRUE(done->finish_time.has_value());
  EXPECT_EQ(done->rows_artifact, "sha256:a");
  EXPECT_THAT(EventsOf(run), ElementsAre("QUEUED", "RUNNING", "import", "SUCCEEDED"));
  EXPECT_THAT(store().CancelRun("default", run.id), HasReasonThat("STATE_INVALID"));
}

TEST_P(CurationStoreTest, AWorkerWhoseLeaseExpiredPublishesNothing) {
  Dataset();
  ASSERT_OK(store().CreateRun(NewRun(), {}));
  RunRecord first = Claimed();
  ASSERT_OK(store().RecordStep(first, {.stage = "import"}));
  backend_->ExpireLeases();
  RunRecord second = Claimed();
  EXPECT_EQ(second.id, first.id);
  EXPECT_GT(second.lease_epoch, first.lease_epoch);
  EXPECT_TRUE(second.funnel.empty());
  EXPECT_THAT(store().RenewRun(first, absl::Seconds(30)), HasReasonThat("LEASE_LOST"));
  EXPECT_THAT(store().RecordStep(first, {.stage = "import"}), HasReasonThat("LEASE_LOST"));
  EXPECT_THAT(store().FinishRun(first), HasReasonThat("LEASE_LOST"));
  EXPECT_OK(store().RenewRun(second, absl::Seconds(30)));
}

TEST_P(CurationStoreTest, AWorkerThatAsksAgainGetsTheRunItNeverHeardOf) {
  Dataset();
  ASSERT_OK(store().CreateRun(NewRun(), {}));
  ASSERT_OK(store().CreateRun(NewRun(), {}));
  const RunRecord first = Claimed();
  const RunRecord again = Claimed();
  EXPECT_EQ(again.id, first.id);
  EXPECT_GT(again.lease_epoch, first.lease_epoch);
}

TEST_P(CurationStoreTest, ACancelledRunEndsItsWorkersLeaseAndMayBeResumed) {
  Dataset();
  ASSERT_OK(store().CreateRun(NewRun(), {}));
  const RunRecord run = Claimed();
  EXPECT_EQ(store().CancelRun("default", run.id)->state, RunState::kCancelled);
  EXPECT_OK(store().CancelRun("default", run.id));
  EXPECT_THAT(store().RenewRun(run, absl::Seconds(30)), HasReasonThat("LEASE_LOST"));
  EXPECT_FALSE(store().ClaimRun("w", absl::Seconds(30))->has_value());
  EXPECT_EQ(store().ResumeRun("default", run.id)->state, RunState::kQueued);
  EXPECT_THAT(store().ResumeRun("default", run.id), HasReasonThat("STATE_INVALID"));
  EXPECT_GT(Claimed().lease_epoch, run.lease_epoch);
}

TEST_P(CurationStoreTest, ARunThatIsGivenBackIsQueuedAgain) {
  Dataset();
  ASSERT_OK(store().CreateRun(NewRun(), {}));
  RunRecord run = Claimed();
  run.state = RunState::kQueued;
  ASSERT_OK(store().FinishRun(run));
  EXPECT_FALSE(store().GetRun("default", run.id)->finish_time.has_value());
  EXPECT_EQ(Claimed().id, run.id);
}

VersionRecord Version(const std::string& digest) {
  return {.project = "default",
          .dataset = "d",
          .digest = digest,
          .labels = {{"a", "b"}},
          .merkle_root = "sha256:m",
          .recipe_digest = "sha256:r",
          .sources = {{"u", "d", "l"}},
          .licence = "MIT",
          .run = "r",
          .counts = {{"train", 2, 1, 30}},
          .clusters = 1,
          .artifact_digest = "sha256:a",
          .task = "t",
          .size_bytes = 9};
}

TEST_P(CurationStoreTest, AVersionIsStoredOnceWithItsRows) {
  Dataset();
  const std::vector<SealedRow> rows = {{"sha256:x", "train", 0, 0}, {"sha256:y", "test", 1, 99}};
  ASSERT_OK(store().PutVersion(Version("sha256:v"), rows, {}));
  const auto again = store().PutVersion(Version("sha256:v"), rows, {});
  ASSERT_OK(again);
  EXPECT_EQ(again->counts, Version("").counts);
  EXPECT_EQ(again->sources, Version("").sources);
  EXPECT_EQ(store().GetVersion("default", "-", "sha256:v")->artifact_digest, "sha256:a");
  EXPECT_EQ(store().GetDataset("default", "d")->current_version, "sha256:v");
  EXPECT_EQ(store().ListVersions({.project = "default", .parent = "-"})->records.size(), 1u);
  EXPECT_EQ(store().VersionsWithRow("default", "sha256:y")->size(), 1u);
  EXPECT_THAT(*store().VersionsWithRow("default", "sha256:z"), IsEmpty());
  EXPECT_THAT(store().DeleteDataset("default", "d"), HasReasonThat("RESOURCE_IN_USE"));
}

TEST_P(CurationStoreTest, ARequestIsRememberedWithWhatItMade) {
  Dataset();
  const RequestKey key{"request-9", "payload"};
  EXPECT_THAT(store().MadeBy("default", key), IsOkAndHolds(""));
  ASSERT_OK(store().PutVersion(Version("sha256:v"), {}, key));
  EXPECT_THAT(store().MadeBy("default", key), IsOkAndHolds("d/sha256:v"));
  EXPECT_THAT(store().MadeBy("default", {"request-9", "other"}),
              HasReasonThat("REQUEST_ID_REUSED"));
  EXPECT_THAT(store().MadeBy("default", {}), IsOkAndHolds(""));
  const auto repeated = store().PutVersion(Version("sha256:w"), {}, key);
  ASSERT_OK(repeated);
  EXPECT_EQ(repeated->digest, "sha256:v");
  EXPECT_THAT(store().GetVersion("default", "d", "sha256:w"), HasReasonThat("RESOURCE_NOT_FOUND"));
}

TEST_P(CurationStoreTest, VersionsAreListedInPages) {
  Dataset();
  for (const char* digest : {"sha256:1", "sha256:2", "sha256:3"})
    ASSERT_OK(store().PutVersion(Version(digest), {}, {}));
  const auto first = store().ListVersions({.project = "default", .parent = "d", .limit = 2});
  const auto second = store().ListVersions(
      {.project = "default", .parent = "d", .after = first->positions.back(), .limit = 2});
  ASSERT_OK(second);
  EXPECT_EQ(second->records.size(), 1u);
}

TEST_P(CurationStoreTest, DeletingADataSetTakesItsRunsAlong) {
  Dataset();
  const auto run = store().CreateRun(NewRun(), {});
  ASSERT_OK(store().DeleteDataset("default", "d"));
  EXPECT_THAT(store().GetRun("default", run->id), HasReasonThat("RESOURCE_NOT_FOUND"));
  EXPECT_THAT(store().DeleteDataset("default", "d"), HasReasonThat("RESOURCE_NOT_FOUND"));
}

TEST_P(CurationStoreTest, TombstonesArePermanent) {
  ASSERT_OK(store().CreateTombstone(
      {.project = "default", .id = ids_.NextId(), .row_digest = "sha256:x"}, {}));
  ASSERT_OK(store().CreateTombstone(
      {.project = "default", .id = ids_.NextId(), .subject = "u1", .reason = "asked"}, {}));
  const auto all = store().AllTombstones("default");
  EXPECT_TRUE(all->row_digests.contains("sha256:x"));
  EXPECT_TRUE(all->subjects.contains("u1"));
  EXPECT_EQ(store().ListTombstones({.project = "default"})->records.at(0).reason, "asked");
  EXPECT_TRUE(store().AllTombstones("other")->subjects.empty());
}

TEST_P(CurationStoreTest, StepsAreRemembered) {
  EXPECT_FALSE(store().FindStep("sha256:k")->has_value());
  ASSERT_OK(store().PutStep("sha256:k", {"sha256:1", {.stage = "import", .rows_in = 4}}));
  ASSERT_OK(store().PutStep("sha256:k", {"sha256:2", {.stage = "import", .rows_in = 5}}));
  const auto entry = store().FindStep("sha256:k");
  EXPECT_EQ((*entry)->digest, "sha256:2");
  EXPECT_EQ((*entry)->step.rows_in, 5);
}

}  // namespace
}  // namespace crossover::curation
