#include "services/model_server/domain/loaded_models.h"

#include <gmock/gmock.h>

#include <optional>
#include <set>
#include <thread>

#include "services/model_server/domain/model_fixture.h"

namespace crossover::inference {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
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

TEST_F(LoadedModelsTest, ABaseMayBeAFolderThatServesAdaptersAndIsNone) {
  testing::WriteFile(folder_ / "model/config.json", "{}");
  const std::string base = blobs_->PutFolder("model", folder_ / "model").value();
  ASSERT_OK(models_->LoadBase(base, {"folder"}).status());
  EXPECT_EQ(testing::ReadFile(loader_.loaded_from() / "config.json"), "{}");
  const std::string adapter = Adapter("one", base);
  ASSERT_OK(models_->LoadAdapter(adapter, {}, false, base).status());
  EXPECT_EQ(models_->Acquire(adapter)->base().digest, base);
  EXPECT_EQ(models_->Acquire("folder")->digest(), base);
  MakeModels({});
  ASSERT_OK(models_->LoadBase(base_, {}).status());
  const absl::Status status = models_->LoadAdapter(base, {}, false, "").status();
  EXPECT_THAT(status, HasReasonThat("FORMAT_INVALID"));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("of kind model")));
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
  EXPECT_THAT(models_->PinAdapter("small", true).status(), HasReasonThat("FIELD_INVALID"));
  EXPECT_FALSE(models_->List()[0].pinned);
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

TEST_F(LoadedModelsTest, AdaptersLeaveForAnotherThatNeedsTheirBytes) {
  const auto size_of = [&](const std::string& digest) {
    return blobs_->ReadManifest(digest)->TotalSize();
  };
  const std::string a = Adapter("a"), b = Adapter("b"), c = Adapter("c");
  const auto folder = folder_ / "large adapter";
  testing::WriteFile(folder / "adapter_config.json", llm::LoraConfigJson({.rank = 4}));
  testing::WriteFile(folder / "adapter_model.safetensors",
                     std::string(static_cast<size_t>(2 * size_of(a)), 'x'));
  const std::string large = blobs_->PutFolder("adapter", folder).value();  // Nearly three places.
  MakeModels({.adapter_bytes = 3 * size_of(a)});
  ASSERT_OK(models_->LoadBase(base_, {}).status());
  const auto loaded = [&] {
    std::set<std::string> digests;
    for (const ModelInfo& info : models_->List()) {
      if (info.kind == ModelKind::kAdapter) digests.insert(info.digest);
    }
    return digests;
  };
  for (const std::string& digest : {a, b, c}) {
    ASSERT_OK(models_->LoadAdapter(digest, {}, false, "").status());
    clock_.Advance(absl::Seconds(1));
  }
  EXPECT_EQ(loaded(), (std::set<std::string>{a, b, c}));
  {
    const auto busy = models_->Acquire(a);
    ASSERT_OK(busy);
    // The places of b and c would not do, and a is in use: nobody has to go.
    EXPECT_THAT(models_->LoadAdapter(large, {}, false, "").status(),
                HasReasonThat("ADAPTER_IN_USE"));
    EXPECT_EQ(loaded(), (std::set<std::string>{a, b, c}));
  }
  ASSERT_OK(models_->LoadAdapter(large, {}, false, "").status());
  EXPECT_EQ(loaded(), (std::set<std::string>{large}));
}

TEST_F(LoadedModelsTest, AnAdapterCountsWithWhatItTakesInMemory) {
  const std::string a = Adapter("a"), b = Adapter("b");
  MakeModels({.adapter_bytes = 10'000});  // Their files have a fraction of it.
  ASSERT_OK(models_->LoadBase(base_, {}).status());
  engine().SetAdapterBytes(9'990);
  EXPECT_EQ(models_->LoadAdapter(a, {}, false, "")->bytes, 9'990);
  ASSERT_OK(models_->LoadAdapter(b, {}, false, "").status());
  EXPECT_THAT(engine().Adapters(), ElementsAre(b));
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
  clock_.Advance(absl::Seconds(3));
  EXPECT_THAT(models_->Acquire("other").status(), HasReasonThat("MODEL_NOT_FOUND"));
  models_.reset();
}

TEST_F(LoadedModelsTest, ADirectoryThatIsAwayIsAskedOnceInAWhile) {
  FakeDirectory directory;
  directory_ = &directory;
  MakeModels({});
  directory.entries = {{.digest = base_, .is_base = true, .aliases = {"small", "tiny"}}};
  EXPECT_OK(models_->Acquire("small"));
  EXPECT_OK(models_->Acquire("tiny"));
  clock_.Advance(absl::Seconds(11));
  directory.failure = absl::DeadlineExceededError("slow");
  const int asked = directory.asked;
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(models_->Acquire("small")->digest(), base_);
    EXPECT_EQ(models_->Acquire("tiny")->digest(), base_);
    EXPECT_THAT(models_->Acquire("other").status(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  }
  EXPECT_EQ(directory.asked, asked + 1);
  clock_.Advance(absl::Seconds(3));
  EXPECT_OK(models_->Acquire("tiny"));
  EXPECT_EQ(directory.asked, asked + 2);
  models_.reset();
}

TEST_F(LoadedModelsTest, AnAdapterThatIsBeingLoadedIsUnloadedAfterwards) {
  const std::string adapter = Adapter("one");
  engine().HoldLoads();
  std::thread loading([&] { EXPECT_OK(models_->LoadAdapter(adapter, {"a"}, false, "")); });
  ASSERT_TRUE(engine().WaitForHeldLoads(1));
  std::thread unloading([&] { EXPECT_OK(models_->UnloadAdapter(adapter)); });
  engine().ReleaseLoads();
  loading.join();
  unloading.join();
  EXPECT_TRUE(engine().Adapters().empty());
  EXPECT_EQ(models_->List().size(), 1u);
}

TEST_F(LoadedModelsTest, ThreadsThatLoadUnloadPinAndUseDisturbNobody) {
  MakeModels({.max_adapters = 2});
  ASSERT_OK(models_->LoadBase(base_, {"small"}));
  std::vector<std::string> adapters;
  for (int i = 0; i < 5; ++i) adapters.push_back(Adapter(std::to_string(i)));
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < 60; ++i) {
        const std::string& adapter = adapters[(t * 7 + i * 3) % adapters.size()];
        if (t % 3 == 0) {
          (void)models_->UnloadAdapter(adapter);
        } else if (t % 3 == 1) {
          const auto lease = models_->Acquire(adapter);
          if (!lease.ok()) {
            EXPECT_THAT(lease.status(), HasReasonThat("ADAPTER_IN_USE"));
          }
        } else {
          (void)models_->LoadAdapter(adapter, {"name" + std::to_string(i % 4)}, i % 5 == 0, "");
          (void)models_->PinAdapter(adapter, false);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_OK(models_->Acquire("small"));
  EXPECT_EQ(engine().UnknownUnloads(), 0);
  std::set<std::string> listed;
  for (const ModelInfo& info : models_->List()) {
    EXPECT_EQ(info.state, ModelState::kReady);
    EXPECT_EQ(info.in_flight, 0);
    if (info.kind == ModelKind::kAdapter) listed.insert(info.digest);
  }
  EXPECT_EQ(listed, engine().Adapters());
  EXPECT_LE(listed.size(), 2u);
}

TEST_F(LoadedModelsTest, TheBaseUnusedForLongestLeavesWithItsAdaptersAndComesBack) {
  const std::string two = blobs_->PutBytes("two").value(),
                    three = blobs_->PutBytes("three").value();
  const std::string adapter = Adapter("one", base_);
  ASSERT_OK(models_->LoadAdapter(adapter, {"best"}, false, ""));
  clock_.Advance(absl::Seconds(1));
  ASSERT_OK(models_->LoadBase(two, {"second"}));
  clock_.Advance(absl::Seconds(1));
  ASSERT_OK(models_->LoadBase(three, {"third"}));
  ASSERT_EQ(models_->List().size(), 2u);
  EXPECT_EQ(models_->List()[0].kind, ModelKind::kBase);
  EXPECT_EQ(models_->List()[1].kind, ModelKind::kBase);

  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(models_->Acquire("best")->digest(), adapter);  // Loads its base too; the second leaves.
  EXPECT_EQ(models_->Acquire("third")->digest(), three);
  EXPECT_EQ(loader_.loads(), 4);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(models_->Acquire("second")->digest(), two);
  EXPECT_EQ(loader_.loads(), 5);
}

TEST_F(LoadedModelsTest, BasesThatAnswerOrHoldPinnedAdaptersStay) {
  const std::string two = blobs_->PutBytes("two").value(),
                    three = blobs_->PutBytes("three").value();
  ASSERT_OK(models_->LoadAdapter(Adapter("one", base_), {"pinned"}, true, ""));
  ASSERT_OK(models_->LoadBase(two, {"second"}));
  ASSERT_OK_AND_ASSIGN(ModelLease busy, models_->Acquire("second"));
  const absl::Status refused = models_->LoadBase(three, {}).status();
  EXPECT_THAT(refused, HasReasonThat("BASES_IN_USE"));
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted));
  busy = {};
  EXPECT_OK(models_->LoadBase(three, {}));
  EXPECT_THAT(models_->Acquire("pinned")->digest(), Not(three));
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
