#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/testing/matchers.h"
#include "common/time/fake_clock.h"
#include "services/registry/domain/diagnose.h"
#include "services/registry/domain/fake_registry_store.h"
#include "services/registry/domain/prompt_registry.h"

namespace crossover::registry {
namespace {

using ::testing::HasSubstr;

class PromptRegistryTest : public ::testing::Test {
 protected:
  PromptRegistryTest() {
    EXPECT_OK(store_.Create(
        {.key = {Kind::kTask, "default", "", "t"}, .state = "ACTIVE", .document = "{}"}, {}));
    EXPECT_OK(store_.Create({.key = {Kind::kPrompt, "default", "t", "p"}, .document = "{}"}, {}));
  }
  PromptVersion Add(const std::string& text) {
    clock_.Advance(absl::Seconds(1));
    auto version = registry_.Create(
        {.prompt = prompt_, .spec = R"({"messages":[{"content":")" + text + R"("}]})"}, false);
    EXPECT_OK(version);
    return *version;
  }

  const PromptKey prompt_{"default", "t", "p"};
  FakeClock clock_;
  FakeRegistryStore store_{clock_};
  PromptRegistry registry_{store_};
};

TEST_F(PromptRegistryTest, EqualSpecsAreOneVersionWhateverTheOrderOfTheirKeys) {
  const auto one = registry_.Create({.prompt = prompt_, .spec = R"({"a":1,"b":2})"}, false);
  const auto same = registry_.Create({.prompt = prompt_, .spec = R"({"b":2.0,"a":1})"}, false);
  ASSERT_OK(one);
  EXPECT_EQ(one->digest, same->digest);
  EXPECT_EQ(store_.ListVersions(prompt_, {})->records.size(), 1u);
}

TEST_F(PromptRegistryTest, AVersionGoesOnFromTheNewestUnlessItNamesItsParent) {
  const PromptVersion first = Add("one");
  const PromptVersion second = Add("two");
  EXPECT_EQ(first.parent, "");
  EXPECT_EQ(second.parent, first.digest);
  EXPECT_THAT(
      registry_.Create({.prompt = prompt_, .spec = "{}", .parent = "sha256:nowhere"}, false),
      HasReasonThat("RESOURCE_NOT_FOUND"));
}

TEST_F(PromptRegistryTest, ActivationNeedsAnEvaluationOrAReason) {
  const PromptVersion version = Add("one");
  EXPECT_THAT(registry_.Activate(prompt_, version.digest, "", ""),
              HasReasonThat("PROMPT_NOT_EVALUATED"));
  const auto active = registry_.Activate(prompt_, version.digest, "projects/default/runs/r", "");
  ASSERT_OK(active);
  EXPECT_EQ(active->state, VersionState::kActive);
  EXPECT_EQ(active->evaluation, "projects/default/runs/r");
  EXPECT_THAT(registry_.Activate(prompt_, version.digest, "trust me", ""),
              HasReasonThat("FIELD_INVALID"));
}

TEST_F(PromptRegistryTest, RollbackBringsTheVersionBeforeBackAndSaysWhy) {
  const PromptVersion one = Add("one");
  const PromptVersion two = Add("two");
  EXPECT_THAT(registry_.Rollback(prompt_, "", "worse"), HasReasonThat("STATE_INVALID"));
  ASSERT_OK(registry_.Activate(prompt_, one.digest, "projects/default/runs/r", ""));
  ASSERT_OK(registry_.Activate(prompt_, two.digest, "", "trying"));
  EXPECT_THAT(registry_.Rollback(prompt_, "", ""), HasReasonThat("FIELD_REQUIRED"));
  const auto back = registry_.Rollback(prompt_, "", "worse");
  ASSERT_OK(back);
  EXPECT_EQ(back->digest, one.digest);
  EXPECT_EQ(back->override_reason, "rollback: worse");
  EXPECT_EQ(store_.GetVersion(prompt_, two.digest)->state, VersionState::kRetired);
}

TEST_F(PromptRegistryTest, PromptsOfAnArchivedTaskDoNotChange) {
  const PromptVersion version = Add("one");
  auto task = store_.Get({Kind::kTask, "default", "", "t"});
  task->state = "ARCHIVED";
  ASSERT_OK(store_.Update(*task));
  EXPECT_THAT(registry_.Create({.prompt = prompt_, .spec = "{}"}, false),
              HasReasonThat("STATE_INVALID"));
  EXPECT_THAT(registry_.Activate(prompt_, version.digest, "run", ""),
              HasReasonThat("STATE_INVALID"));
}

TEST(ApiKeyTest, ASecretOpensItsKeyUntilItIsRevokedOrExpires) {
  FakeRandom random;
  const std::string secret = NewSecret(random);
  EXPECT_EQ(secret.size(), 3u + 64u);
  EXPECT_NE(NewSecret(random), secret);
  const absl::Time now = absl::FromUnixSeconds(1000);
  ApiKey key{.key_hash = HashSecret(secret)};
  EXPECT_TRUE(Accepts(key, HashSecret(secret), now));
  EXPECT_FALSE(Accepts(key, HashSecret("xo-other"), now));
  EXPECT_FALSE(Accepts(key, "", now));
  key.expire_time = now;
  EXPECT_FALSE(Accepts(key, HashSecret(secret), now));
  key.expire_time = now + absl::Seconds(1);
  EXPECT_TRUE(Accepts(key, HashSecret(secret), now));
  key.revoked = true;
  EXPECT_FALSE(Accepts(key, HashSecret(secret), now));
}

TEST(ApiKeyTest, TheFormerSecretHoldsForItsGrace) {
  const absl::Time now = absl::FromUnixSeconds(1000);
  ApiKey key{.key_hash = HashSecret("new"), .former_hash = HashSecret("old")};
  EXPECT_FALSE(Accepts(key, HashSecret("old"), now));
  key.former_expire_time = now + absl::Seconds(5);
  EXPECT_TRUE(Accepts(key, HashSecret("old"), now));
  EXPECT_FALSE(Accepts(key, HashSecret("old"), now + absl::Seconds(5)));
}

// The symptoms of the mission's table, each with its remedy before fine-tuning.
struct SymptomCase {
  const char* symptom;
  const char* remedy;
};
class SymptomTest : public ::testing::TestWithParam<SymptomCase> {};
TEST_P(SymptomTest, HasARemedyBeforeFineTuning) {
  const Diagnosis diagnosis = Diagnose(nullptr, {GetParam().symptom});
  ASSERT_EQ(diagnosis.remedies.size(), 1u);
  EXPECT_THAT(diagnosis.remedies[0].remedy, HasSubstr(GetParam().remedy));
  EXPECT_FALSE(diagnosis.remedies[0].rung.empty());
}
INSTANTIATE_TEST_SUITE_P(Mission, SymptomTest,
                         ::testing::Values(SymptomCase{"unknown_product", "retrieval"},
                                           SymptomCase{"wrong_format", "JSON schema"},
                                           SymptomCase{"refuses", "system prompt"},
                                           SymptomCase{"hallucinates", "from the documents only"},
                                           SymptomCase{"too_slow", "smaller model"},
                                           SymptomCase{"too_expensive", "caching"},
                                           SymptomCase{"voice", "few-shot"}));

TEST(DiagnoseTest, FindsLongPromptsManyExamplesConditionsAndRepetitions) {
  prompt::PromptSpec spec;
  std::string text;
  for (int i = 0; i < 10; ++i)
    text += "If the customer is angry number " + std::to_string(i) + ", say sorry.\n";
  text += "Always answer in English please.\nAlways answer in English please.\n" +
          std::string(9000, 'x');
  spec.messages = {{"system", text}, {"user", "{{input}}"}};
  for (int i = 0; i < 6; ++i) {
    dataset::Row row;
    row.messages = {{.role = "user", .content = "q"}, {.role = "assistant", .content = "a"}};
    spec.few_shot.push_back(row);
  }
  const Diagnosis diagnosis = Diagnose(&spec, {});
  std::vector<std::string> codes;
  for (const CeilingSign& sign : diagnosis.signs) codes.push_back(sign.code);
  EXPECT_THAT(codes, ::testing::UnorderedElementsAre("long_prompt", "many_examples",
                                                     "prose_conditionals", "redundant"));
  EXPECT_EQ(diagnosis.sections[0].name, "system");
}

TEST(DiagnoseTest, APlainPromptShowsNoSign) {
  prompt::PromptSpec spec;
  spec.messages = {{"system", "Answer briefly."}, {"user", "{{input}}"}};
  EXPECT_TRUE(Diagnose(&spec, {}).signs.empty());
  EXPECT_THAT(Diagnose(&spec, {"cough"}).remedies.at(0).remedy,
              HasSubstr("known are: unknown_product"));
}

}  // namespace
}  // namespace crossover::registry
