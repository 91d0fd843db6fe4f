#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "common/testing/matchers.h"
#include "services/shadow_router/domain/record_json.h"
#include "services/shadow_router/transport/convert.h"
#include "services/shadow_router/transport/masks.h"
#include "services/shadow_router/transport/registry_catalog.h"

namespace crossover::router {
namespace {

using ::testing::HasSubstr;

TEST(ConvertTest, ARouteSurvivesTheWayThereAndBack) {
  Route route{.name = "projects/default/routes/r",
              .task = "t",
              .mode = RouteMode::kFineTune,
              .primary = "a",
              .fallbacks = {"b"},
              .sticky_by = StickyBy::kConversation,
              .salt = "s",
              .shadow_salt = "u",
              .labels = {{"k", "v"}}};
  route.variants["a"] = {
      .prompt_version = "p",
      .model = {.kind = ModelRef::Kind::kAdapter, .model = "m", .digest = "sha256:d"},
      .sampling =
          {{"temperature", "0.5"},
           {"max_tokens", "9"},
           {"stop", R"(["x"])"},
           {"response_format",
            R"({"json_schema":{"name":"n","schema":{"type":"object"},"strict":true},"type":"json_schema"})"}},
      .timeout = absl::Milliseconds(1500),
      .display_name = "A"};
  route.variants["b"] = {.model = {.model = "n", .upstream = "projects/default/upstreams/u"}};
  ASSERT_OK_AND_ASSIGN(const Route back, FromProto(ToProto(route)));
  EXPECT_EQ(SettingsToJson(back), SettingsToJson(route));
}

TEST(ConvertTest, AnExperimentSurvivesTheWayThereAndBack) {
  Experiment experiment{.name = "n",
                        .route = "r",
                        .baseline = "",
                        .candidate = "c",
                        .quality_mode = QualityMode::kEquivalence};
  experiment.grade_sources = {GradeSource::kValidator};
  experiment.comparators = {
      {.kind = ComparatorSpec::Kind::kJson, .fields = {"a", "b.c"}, .tolerance = 0}};
  experiment.steps = {{0.5, absl::Seconds(1), 3}, {1, absl::ZeroDuration(), 4}};
  experiment.gates = {{Gate::Metric::kTtft, 0.5}};
  experiment.budgets = {100, 2.25};
  experiment.minima.shadow_duration = absl::Seconds(5);
  ASSERT_OK_AND_ASSIGN(const Experiment back, FromProto(ToProto(experiment)));
  EXPECT_EQ(SettingsToJson(back), SettingsToJson(experiment));
}

TEST(ConvertTest, AnEmptyExperimentHasTheDefaultsAndABadOneSaysWhere) {
  ASSERT_OK_AND_ASSIGN(const Experiment usual, FromProto(pb::Experiment()));
  EXPECT_EQ(SettingsToJson(usual), SettingsToJson(Experiment{}));
  pb::Experiment bad;
  bad.add_gates()->set_metric("cost");
  EXPECT_THAT(FromProto(bad),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("gates[0].metric")));
  pb::Experiment comparator;
  comparator.add_comparators()->set_kind("embedding");
  EXPECT_THAT(FromProto(comparator),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("comparators[0].kind")));
  pb::Route route;
  (*route.mutable_variants())["x"];
  EXPECT_THAT(FromProto(route),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("variants[x].model")));
}

TEST(ConvertTest, AMaskChangesWhatItNamesAndNothingElse) {
  pb::Experiment stored, wanted;
  stored.set_margin(0.02);
  stored.set_candidate("a");
  (*stored.mutable_labels())["old"] = "1";
  wanted.set_name("n");
  wanted.set_margin(0.05);
  wanted.set_candidate("b");
  (*wanted.mutable_labels())["new"] = "2";
  google::protobuf::FieldMask mask;
  mask.add_paths("margin");
  mask.add_paths("labels");
  ASSERT_OK(ApplyMask(wanted, mask, {"margin", "labels"}, stored));
  EXPECT_EQ(stored.margin(), 0.05);
  EXPECT_EQ(stored.candidate(), "a");
  EXPECT_EQ(stored.labels().count("old"), 0);
  mask.add_paths("state");
  EXPECT_THAT(ApplyMask(wanted, mask, {"margin", "labels"}, stored),
              HasReasonThat("UPDATE_MASK_INVALID"));
  EXPECT_THAT(ApplyMask(wanted, {}, {"margin"}, stored), HasReasonThat("UPDATE_MASK_INVALID"))
      << "candidate is set";
}

TEST(ConvertTest, AFeedbacksDemonstrationIsTheRightOutput) {
  pb::Feedback proto;
  EXPECT_THAT(FromProto(proto), HasReasonThat("FEEDBACK_INVALID"));
  proto.set_inference_id("i");
  proto.set_name("correct");
  EXPECT_THAT(FromProto(proto), HasReasonThat("FEEDBACK_INVALID"));
  proto.set_demonstration("cat");
  ASSERT_OK_AND_ASSIGN(const Feedback feedback, FromProto(proto));
  EXPECT_EQ(feedback.name, "demonstration");
  EXPECT_EQ(feedback.value, "\"cat\"");
  EXPECT_EQ(ToProto(feedback).demonstration(), "cat");
}

TEST(RegistryCatalogTest, CredentialsAreReadFromWhereTheyAreAndNeverShown) {
  setenv("CROSSOVER_TEST_KEY", "sk-secret", 1);
  EXPECT_THAT(ReadCredential("env:CROSSOVER_TEST_KEY"), IsOkAndHolds("sk-secret"));
  EXPECT_THAT(ReadCredential(""), IsOkAndHolds(""));
  EXPECT_THAT(ReadCredential("env:CROSSOVER_TEST_NONE"), HasReasonThat("CONFIG_INVALID"));
  EXPECT_THAT(ReadCredential("file:/nonexistent"), HasReasonThat("CONFIG_INVALID"));
  EXPECT_THAT(ReadCredential("sk-secret"), HasReasonThat("CONFIG_INVALID"));
}

// The golden digest of common/prompt/from_proto_test.cc, which evaluation measures it under.
TEST(ConvertTest, ASystemIsServedUnderTheDigestItIsMeasuredUnder) {
  type::v1::System proto;
  proto.set_prompt_version("projects/p/tasks/t/prompts/q/versions/sha256:1");
  proto.mutable_adapter()->set_model("sections");
  proto.mutable_adapter()->set_digest("sha256:2");
  proto.mutable_adapter()->set_base_digest("sha256:3");
  proto.mutable_sampling()->set_temperature(0.7);
  proto.mutable_sampling()->set_max_tokens(16);
  proto.mutable_limits()->set_max_input_tokens(100);
  proto.set_display_name("tuned");
  ASSERT_OK_AND_ASSIGN(const System system, FromProto(proto, "system"));
  EXPECT_EQ(SystemDigest(system),
            "sha256:2300cfb314999791989268d0dbf330b4a6cf13c7aebffddc2798edded51b6fab");
  proto.mutable_upstream()->set_upstream("projects/p/upstreams/u");
  proto.mutable_upstream()->set_model("m");
  proto.mutable_upstream()->set_revision("m@fp_1");
  ASSERT_OK_AND_ASSIGN(const System upstream, FromProto(proto, "system"));
  EXPECT_EQ(ToProto(upstream).upstream().revision(), "m@fp_1");
}

TEST(RegistryCatalogTest, APromptOfTheRegistryIsRenderedAsItIsMeasured) {
  registry::v1::PromptSpec proto;
  auto* system = proto.add_messages();
  system->set_role("system");
  system->set_content("Classify.");
  auto* user = proto.add_messages();
  user->set_role("user");
  user->set_content("{{input}}");
  auto* example = proto.mutable_few_shot()->add_rows();
  (*example->mutable_input())["input"] = "cat";
  example->set_output("animal");
  proto.mutable_sampling()->set_temperature(0);
  ASSERT_OK_AND_ASSIGN(const prompt::PromptSpec spec, FromProto(proto));
  ASSERT_EQ(spec.few_shot.size(), 1);
  EXPECT_EQ(spec.few_shot[0].messages[1].content, "animal");
  EXPECT_EQ(spec.sampling.temperature, 0);
  proto.set_strategy(registry::v1::PromptSpec::DECOMPOSED);
  EXPECT_THAT(FromProto(proto), HasReasonThat("NOT_IMPLEMENTED"));
}

TEST(RegistryCatalogTest, ATasksGradersBecomeComparatorsAndItsPolicyIsStrictByDefault) {
  registry::v1::Task proto;
  EXPECT_EQ(FromProto(proto).record, RecordPolicy::kMetadata);
  auto* grader = proto.mutable_output_contract()->add_graders();
  grader->set_kind("json_fields");
  grader->set_parameters(R"({"fields":["section","role"]})");
  proto.mutable_output_contract()->add_graders()->set_kind("judge");
  const TaskInfo info = FromProto(proto);
  ASSERT_EQ(info.comparators.size(), 1);
  EXPECT_THAT(info.comparators[0].fields, ::testing::ElementsAre("section", "role"));
}

}  // namespace
}  // namespace crossover::router
