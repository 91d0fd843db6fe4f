#include "services/model_server/domain/loaded_models.h"

#include <gmock/gmock.h>

#include <optional>
#include <thread>

#include "services/model_server/domain/model_fixture.h"

namespace crossover::inference {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class LoadedModelsTest : public ModelFixture {
 protected:
  void SetUp() override { ASSERT_OK(models_->LoadBase(base_, {"small"})); }
};

TEST_F(LoadedModelsTest, ABaseAnswersToItsNamesAndItsDigest) {
  for (const std::string& name :
       {std::string("small"), base_, std::string("projects/default/models/small"),
        "projects/default/models/small/versions/" + base_}) {
    ASSERT_OK_AND_ASSIGN(const ModelLease lease, models_->Acquire(name));
    EXPECT_EQ(lease.digest(), base_);
    EXPECT_EQ(lease.adapter(), "");
  }
  EXPECT_EQ(models_->List()[0].aliases, std::vector<std::string>{"small"});
}

TEST_F(LoadedModelsTest, UnknownNamesListTheKnownOnes) {
  const absl::Status status = models_->Acquire("large").status();
  EXPECT_THAT(status, HasReasonThat("MODEL_NOT_FOUND"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("known names: small"));
  EXPECT_THAT(models_->Acquire("sha256:" + std::string(64, '0')).status(),
              HasReasonThat("MODEL_NOT_FOUND"));
}

TEST_F(LoadedModelsTest, AnAdapterIsLoadedByDigestWhenARequestNamesIt) {
  const std::string adapter = Adapter("one");
  {
    ASSERT_OK_AND_ASSIGN(const ModelLease lease, models_->Acquire(adapter));
    EXPECT_EQ(lease.digest(), adapter);
    EXPECT_EQ(lease.adapter(), adapter);
    EXPECT_THAT(engine().Adapters(), ElementsAre(adapter));
    EXPECT_EQ(models_->List()[1].in_flight, 1);
  }
  const ModelInfo info = models_->List()[1];
  EXPECT_EQ(info.in_flight, 0);
  EXPECT_EQ(info.rank, 4);
  EXPECT_EQ(info.base_digest, base_);
  EXPECT_EQ(info.state, ModelState::kReady);
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "scratch"));
}

TEST_F(LoadedModelsTest, ANameMovesToTheAdapterItIsGivenTo) {
  const std::string one = Adapter("one"), two = Adapter("two");
  ASSERT_OK(models_->LoadAdapter(one, {"best"}, false, ""));
  ASSERT_OK(models_->LoadAdapter(two, {"best", "ft:small:default:x:12345678"}, false, ""));
  EXPECT_EQ(models_->Acquire("best")->digest(), two);
  EXPECT_EQ(models_->Acquire("ft:small:default:x:12345678")->digest(), two);
  for (const ModelInfo& info : models_->List()) {
    if (info.digest == one) {
      EXPECT_TRUE(info.aliases.empty());
    }
  }
}

TEST_F(LoadedModelsTest, TheAdapterUnusedForLongestMakesRoomAndItsNameBringsItBack) {
  MakeModels({.max_adapters = 2});
  ASSERT_OK(models_->LoadBase(base_, {}));
  const std::string one = Adapter("one"), two = Adapter("two"), three = Adapter("three");
  ASSERT_OK(models_->LoadAdapter(one, {"first"}, false, ""));
  clock_.Advance(absl::Seconds(1));
  ASSERT_OK(models_->LoadAdapter(two, {}, false, ""));
  clock_.Advance(absl::Seconds(1));
  ASSERT_OK(models_->LoadAdapter(three, {}, false, ""));
  EXPECT_THAT(engine().Adapters(), UnorderedElementsAre(two, three));
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(models_->Acquire("first")->digest(), one);
  EXPECT_THAT(engine().Adapters(), UnorderedElementsAre(one, three));
}

TEST_F(LoadedModelsTest, PinnedAndBusyAdaptersStay) {
  MakeModels({.max_adapters = 2});
  ASSERT_OK(models_->LoadBase(base_, {}));
  const std::string one = Adapter("one"), two = Adapter("two"), three = Adapter("three");
  ASSERT_OK(models_->LoadAdapter(one, {}, true, ""));
  ASSERT_OK_AND_ASSIGN(ModelLease busy, models_->Acquire(two));
  EXPECT_THAT(models_->Acquire(three).status(), HasReasonThat("ADAPTER_IN_USE"));
  busy = {};
  EXPECT_OK(models_->Acquire(three));
  EXPECT_THAT(engine().Adapters(), UnorderedElementsAre(one, three));
}

TEST_F(LoadedModelsTest, UnloadingWaitsForTheLastRequest) {
  const std::string adapter = Adapter("one");
  ASSERT_OK_AND_ASSIGN(ModelLease lease, models_->Acquire(adapter));
  ASSERT_OK_AND_ASSIGN(const ModelInfo info, models_->UnloadAdapter(adapter));
  EXPECT_EQ(info.state, ModelState::kUnloading);
  EXPECT_THAT(engine().Adapters(), ElementsAre(adapter));
  std::thread late([&] { EXPECT_OK(models_->Acquire("small")); });
  late.join();
  lease = {};
  EXPECT_OK(models_->Acquire("small"));  // Puts it away.
  EXPECT_TRUE(engine().Adapters().empty());
  EXPECT_EQ(models_->List().size(), 1u);
}

TEST_F(LoadedModelsTest, ARequestForAnAdapterThatIsLeavingGetsItAgain) {
  const std::string adapter = Adapter("one");
  ASSERT_OK_AND_ASSIGN(ModelLease lease, models_->Acquire(adapter));
  ASSERT_OK(models_->UnloadAdapter(adapter));
  std::thread late([&] { EXPECT_EQ(models_->Acquire(adapter)->digest(), adapter); });
  lease = {};
  late.join();
  EXPECT_THAT(engine().Adapters(), ElementsAre(adapter));
}

TEST_F(LoadedModelsTest, PinsAndBasesAreNotUnloaded) {
  const std::string adapter = Adapter("one");
  ASSERT_OK(models_->LoadAdapter(adapter, {"a"}, true, ""));
  EXPECT_THAT(models_->UnloadAdapter("a").status(), HasReasonThat("ADAPTER_IN_USE"));
  EXPECT_THAT(models_->UnloadAdapter("small").status(), HasReasonThat("FIELD_INVALID"));
  ASSERT_OK(models_->PinAdapter("a", false));
  EXPECT_OK(models_->UnloadAdapter("a"));
  EXPECT_THAT(models_->Acquire("a").status(), HasReasonThat("MODEL_NOT_FOUND"));
}

TEST_F(LoadedModelsTest, AnAdapterOfAnotherBaseIsRefused) {
  const std::string other = "sha256:" + std::string(64, '1');
  const std::string adapter = Adapter("one", other);
  const absl::Status status = models_->Acquire(adapter).status();
  EXPECT_THAT(status, HasReasonThat("ADAPTER_BASE_MISMATCH"));
  EXPECT_THAT(std::string(status.message()), HasSubstr(other));
  EXPECT_OK(models_->LoadAdapter(Adapter("two", base_), {}, false, base_));
  EXPECT_THAT(models_->LoadAdapter(Adapter("three", base_), {}, false, other).status(),
              HasReasonThat("ADAPTER_BASE_MISMATCH"));
  EXPECT_EQ(models_->List().size(), 2u);
}

TEST_F(LoadedModelsTest, WhatIsNoAdapterIsRefusedAndLeavesNothing) {
  EXPECT_THAT(models_->Acquire(blobs_->PutBytes("no manifest").value()).status(),
              HasReasonThat("FORMAT_INVALID"));
  EXPECT_THAT(models_->LoadAdapter("nonsense", {}, false, "").status(),
              HasReasonThat("FIELD_INVALID"));
  EXPECT_EQ(models_->List().size(), 1u);
}

TEST_F(LoadedModelsTest, ManyRequestsForAMissingAdapterLoadItOnce) {
  const std::string adapter = Adapter("one");
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] { EXPECT_OK(models_->Acquire(adapter)); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(models_->List()[1].in_flight, 0);
  EXPECT_EQ(models_->List().size(), 2u);
}

// Knows what the test puts in.
class FakeDirectory final : public ModelDirectory {
 public:
  absl::StatusOr<std::optional<DirectoryEntry>> Find(std::string_view name) override {
    ++asked;
    if (!failure.ok()) return failure;
    for (const DirectoryEntry& entry : entries) {
      if (entry.digest == name) return std::optional(entry);
      for (const std::string& alias : entry.aliases) {
        if (alias == name) return std::optional(entry);
      }
    }
    return std::optional<DirectoryEntry>();
  }
  absl::StatusOr<std::vector<DirectoryEntry>> Bases() override { return entries; }

  std::vector<DirectoryEntry> entries;
  absl::Status failure;
  int asked = 0;
};

TEST_F(LoadedModelsTest, NamesOfTheDirectoryAreLoadedOnDemandAndFollowedWhenTheyMove) {
  FakeDirectory directory;
  directory_ = &directory;
  MakeModels({});
  const std::string one = Adapter("one", base_), two = Adapter("two", base_);
  directory.entries = {{.digest = base_, .is_base = true, .aliases = {"small"}},
                       {.digest = one, .base_digest = base_, .aliases = {"best"}}};
  EXPECT_EQ(models_->Acquire("best")->digest(), one);
  EXPECT_EQ(models_->List().size(), 2u);
  directory.entries[1].digest = two;
  const int asked = directory.asked;
  EXPECT_EQ(models_->Acquire("best")->digest(), one);
  EXPECT_EQ(directory.asked, asked);
  clock_.Advance(absl::Seconds(11));
  EXPECT_EQ(models_->Acquire("best")->digest(), two);
  directory.failure = absl::UnavailableError("away");
  clock_.Advance(absl::Seconds(11));
  EXPECT_EQ(models_->Acquire("best")->digest(), two);
  EXPECT_THAT(models_->Acquire("other").status(), StatusIs(absl::StatusCode::kUnavailable));
  directory.failure = absl::OkStatus();
  EXPECT_THAT(models_->Acquire("other").status(), HasReasonThat("MODEL_NOT_FOUND"));
  models_.reset();
}

TEST_F(LoadedModelsTest, ABaseThatFailsToLoadIsForgotten) {
  loader_.Fail(absl::InvalidArgumentError("truncated"));
  const std::string other = blobs_->PutBytes("other").value();
  EXPECT_THAT(models_->LoadBase(other, {"other"}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(models_->Acquire("other").status(), HasReasonThat("MODEL_NOT_FOUND"));
  EXPECT_THAT(models_->LoadBase("sha256:" + std::string(64, '0'), {}).status(),
              HasReasonThat("BLOB_NOT_FOUND"));
}

}  // namespace
}  // namespace crossover::inference
