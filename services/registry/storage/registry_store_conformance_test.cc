// One suite for every implementation of RegistryStore.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/id/random.h"
#include "common/id/uuid7.h"
#include "common/testing/matchers.h"
#include "common/testing/pg_fixture.h"
#include "common/time/fake_clock.h"
#include "services/registry/domain/fake_registry_store.h"
#include "services/registry/storage/pg_registry_store.h"

namespace crossover::registry {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Backend {
 public:
  virtual ~Backend() = default;
  virtual RegistryStore& store() = 0;
  virtual void Tick() = 0;  // so that no two records share a moment
};

class FakeBackend final : public Backend {
 public:
  RegistryStore& store() override { return store_; }
  void Tick() override { clock_.Advance(absl::Milliseconds(1)); }

 private:
  FakeClock clock_;
  FakeRegistryStore store_{clock_};
};

class PgBackend final : public Backend {
 public:
  RegistryStore& store() override { return store_; }
  void Tick() override {}

 private:
  testing::PgDatabase db_{{PgRegistryStore::RequiredMigrations()}};
  std::unique_ptr<pg::Pool> pool_ = db_.NewPool("registry");
  PgRegistryStore store_{*pool_};
};

class RegistryStoreTest : public ::testing::TestWithParam<bool> {
 protected:
  RegistryStoreTest() {
    if (GetParam()) {
      backend_ = std::make_unique<PgBackend>();
    } else {
      backend_ = std::make_unique<FakeBackend>();
    }
  }
  RegistryStore& store() {
    backend_->Tick();
    return backend_->store();
  }

  static Resource Task(const std::string& id) {
    return {.key = {Kind::kTask, "default", "", id},
            .state = "ACTIVE",
            .document = R"({"owner": "me"})"};
  }
  static Resource Prompt(const std::string& id) {
    return {.key = {Kind::kPrompt, "default", "t", id}, .document = "{}"};
  }
  void AddPrompt() {
    ASSERT_OK(store().Create(Task("t"), {}));
    ASSERT_OK(store().Create(Prompt("p"), {}));
  }
  PromptVersion Version(const std::string& digest, const std::string& parent = "") {
    return {.prompt = prompt_,
            .digest = digest,
            .labels = {{"a", "b"}},
            .spec = R"({"x":1})",
            .parent = parent,
            .note = "why"};
  }
  ApiKey Key(char digit) {
    return {.project = "default",
            .id = ids_.NextId(),
            .role = 2,
            .key_hash = std::string(64, digit),
            .prefix = "xo-0123456",
            .document = R"({"display_name": "ci"})"};
  }

  const PromptKey prompt_{"default", "t", "p"};
  FakeRandom random_{3};
  UuidGenerator ids_{SystemClock(), random_};
  std::unique_ptr<Backend> backend_;
};

INSTANTIATE_TEST_SUITE_P(Stores, RegistryStoreTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Postgres" : "Fake"; });

TEST_P(RegistryStoreTest, TheDefaultProjectExistsFromTheStart) {
  EXPECT_OK(store().Get({Kind::kProject, "default", "", ""}));
  EXPECT_EQ(store().List(Kind::kProject, "", "", {})->records.size(), 1u);
}

TEST_P(RegistryStoreTest, ADocumentIsCreatedChangedByRevisionAndDeleted) {
  ASSERT_OK(store().Create(Task("t"), {}));
  EXPECT_THAT(store().Create(Task("t"), {}), HasReasonThat("RESOURCE_EXISTS"));
  auto task = store().Get(Task("t").key);
  ASSERT_OK(task);
  EXPECT_EQ(task->document, R"({"owner": "me"})");
  task->state = "ARCHIVED";
  task->document = R"({"owner": "you"})";
  const auto changed = store().Update(*task);
  ASSERT_OK(changed);
  EXPECT_EQ(changed->state, "ARCHIVED");
  EXPECT_EQ(changed->revision, task->revision + 1);
  EXPECT_THAT(store().Update(*task), HasReasonThat("ETAG_MISMATCH"));
  ASSERT_OK(store().Delete(task->key));
  EXPECT_THAT(store().Get(task->key), HasReasonThat("RESOURCE_NOT_FOUND"));
  EXPECT_THAT(store().Delete(task->key), HasReasonThat("RESOURCE_NOT_FOUND"));
}

TEST_P(RegistryStoreTest, NothingIsCreatedInWhatDoesNotExist) {
  EXPECT_THAT(
      store().Create(
          {.key = {Kind::kTask, "nowhere", "", "t"}, .state = "ACTIVE", .document = "{}"}, {}),
      HasReasonThat("RESOURCE_NOT_FOUND"));
  EXPECT_THAT(store().Create(Prompt("p"), {}), HasReasonThat("RESOURCE_NOT_FOUND"));
  EXPECT_THAT(store().PutVersion(Version("sha256:1")), HasReasonThat("RESOURCE_NOT_FOUND"));
}

TEST_P(RegistryStoreTest, WhatHoldsSomethingCannotBeDeleted) {
  AddPrompt();
  EXPECT_THAT(store().Delete(Task("t").key), HasReasonThat("RESOURCE_IN_USE"));
  EXPECT_THAT(store().Delete({Kind::kProject, "default", "", ""}),
              HasReasonThat("RESOURCE_IN_USE"));
  ASSERT_OK(store().PutVersion(Version("sha256:1")));
  ASSERT_OK(store().Activate(prompt_, "sha256:1", "run", ""));
  EXPECT_THAT(store().Delete(Prompt("p").key), HasReasonThat("RESOURCE_IN_USE"));
}

TEST_P(RegistryStoreTest, APromptThatWasNeverInUseIsDeletedWithItsDrafts) {
  AddPrompt();
  ASSERT_OK(store().PutVersion(Version("sha256:1")));
  ASSERT_OK(store().Delete(Prompt("p").key));
  ASSERT_OK(store().Create(Prompt("p"), {}));
  EXPECT_THAT(store().ListVersions(prompt_, {})->records, IsEmpty());
}

TEST_P(RegistryStoreTest, ARepeatedRequestGivesTheStoredResource) {
  ASSERT_OK(store().Create(Task("t"), {"r", "a"}));
  EXPECT_OK(store().Create(Task("t"), {"r", "a"}));
  EXPECT_THAT(store().Create(Task("t"), {"r", "b"}), HasReasonThat("REQUEST_ID_REUSED"));
}

TEST_P(RegistryStoreTest, ListsAreNewestFirstInPages) {
  for (const char* id : {"a", "b", "c"}) ASSERT_OK(store().Create(Task(id), {}));
  const auto first = store().List(Kind::kTask, "default", "", {.limit = 2});
  ASSERT_OK(first);
  EXPECT_EQ(first->records[0].key.id, "c");
  const auto second =
      store().List(Kind::kTask, "default", "", {.after = first->positions.back(), .limit = 2});
  ASSERT_EQ(second->records.size(), 1u);
  EXPECT_EQ(second->records[0].key.id, "a");
  EXPECT_THAT(store().List(Kind::kTask, "other", "", {})->records, IsEmpty());
}

TEST_P(RegistryStoreTest, AVersionIsStoredOnceAndOneIsActiveAtATime) {
  AddPrompt();
  ASSERT_OK(store().PutVersion(Version("sha256:1")));
  ASSERT_OK(store().PutVersion(Version("sha256:2", "sha256:1")));
  ASSERT_OK(store().PutVersion(Version("sha256:2", "sha256:9")));
  EXPECT_EQ(store().ListVersions(prompt_, {})->records.size(), 2u);
  EXPECT_EQ(store().GetVersion(prompt_, "sha256:2")->parent, "sha256:1");
  EXPECT_EQ(store().GetVersion(prompt_, "sha256:2")->labels.at("a"), "b");
  EXPECT_EQ(store().HeadsOf(prompt_)->latest, "sha256:2");
  EXPECT_EQ(store().HeadsOf(prompt_)->active, "");
  EXPECT_THAT(store().Activate(prompt_, "sha256:7", "run", ""),
              HasReasonThat("RESOURCE_NOT_FOUND"));
  ASSERT_OK(store().Activate(prompt_, "sha256:1", "run", ""));
  const auto active = store().Activate(prompt_, "sha256:2", "", "because");
  ASSERT_OK(active);
  EXPECT_EQ(active->state, VersionState::kActive);
  EXPECT_TRUE(active->activate_time.has_value());
  EXPECT_EQ(store().GetVersion(prompt_, "sha256:1")->state, VersionState::kRetired);
  EXPECT_EQ(store().HeadsOf(prompt_)->active, "sha256:2");
  ASSERT_OK(store().Activate(prompt_, "sha256:2", "", "again"));
  ASSERT_OK(store().Activate(prompt_, "sha256:1", "", "back"));
  EXPECT_EQ(store().GetVersion(prompt_, "sha256:1")->evaluation, "run") << "it was measured once";
  ASSERT_OK(store().Activate(prompt_, "sha256:2", "", "forth"));
  EXPECT_THAT(*store().ActivationHistory(prompt_), ElementsAre("sha256:2", "sha256:1"));
}

TEST_P(RegistryStoreTest, KeysAreFoundByTheHashOfTheirSecret) {
  ApiKey key = Key('a');
  ASSERT_OK(store().CreateKey(key, {}));
  auto found = store().FindKey(std::string(64, 'a'));
  ASSERT_OK(found);
  EXPECT_EQ(found->id, key.id);
  EXPECT_EQ(found->role, 2);
  found->former_hash = found->key_hash;
  found->former_expire_time = absl::FromUnixSeconds(2'000'000'000);
  found->key_hash = std::string(64, 'b');
  found->expire_time = absl::FromUnixSeconds(2'100'000'000);
  const auto rotated = store().UpdateKey(*found);
  ASSERT_OK(rotated);
  EXPECT_EQ(rotated->former_expire_time, found->former_expire_time);
  EXPECT_EQ(rotated->expire_time, found->expire_time);
  EXPECT_OK(store().FindKey(std::string(64, 'a')));
  EXPECT_OK(store().FindKey(std::string(64, 'b')));
  EXPECT_THAT(store().UpdateKey(*found), HasReasonThat("ETAG_MISMATCH"));
  EXPECT_THAT(store().FindKey(""), HasReasonThat("RESOURCE_NOT_FOUND"));
  EXPECT_THAT(store().FindKey(std::string(64, 'c')), HasReasonThat("RESOURCE_NOT_FOUND"));
  ASSERT_OK(store().CreateKey(Key('d'), {}));
  EXPECT_EQ(store().ListKeys("default", {})->records.size(), 2u);
}

TEST_P(RegistryStoreTest, SaysWhetherAnyKeyOpens) {
  const absl::Time now = absl::FromUnixSeconds(2'000'000'000);
  EXPECT_THAT(store().AnyKeyOpens(now), IsOkAndHolds(false));
  ApiKey key = Key('a');
  key.expire_time = now + absl::Seconds(1);
  ASSERT_OK_AND_ASSIGN(key, store().CreateKey(key, {}));
  EXPECT_THAT(store().AnyKeyOpens(now), IsOkAndHolds(true));
  EXPECT_THAT(store().AnyKeyOpens(now + absl::Seconds(1)), IsOkAndHolds(false));
  key.revoked = true;
  ASSERT_OK(store().UpdateKey(key));
  EXPECT_THAT(store().AnyKeyOpens(now), IsOkAndHolds(false));
}

TEST_P(RegistryStoreTest, AKeyOfANewRequestIsStoredOnce) {
  const ApiKey key = Key('a');
  ASSERT_OK(store().CreateKey(key, {"r", "p"}));
  EXPECT_EQ(store().CreateKey(Key('b'), {"r", "p"})->id, key.id);
  EXPECT_THAT(store().CreateKey(Key('c'), {"r", "q"}), HasReasonThat("REQUEST_ID_REUSED"));
}

}  // namespace
}  // namespace crossover::registry
