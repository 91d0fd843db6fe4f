#include "cli/client/spec_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status/absl_view.h"
#include "crossover/registry/v1/prompt.pb.h"
#include "crossover/registry/v1/task.pb.h"
#include "crossover/router/v1/experiment.pb.h"
#include "crossover/scheduler/v1/job.pb.h"

namespace crossover::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string MessageOf(const absl::Status& status) { return std::string(ToStd(status.message())); }

TEST(SpecFileTest, TakesWhatPeopleWrite) {
  registry::v1::Task task;
  const absl::Status status = ReadSpecText(R"(
owner: ml-team
targets: {score: 0.9, latency_p50: 600ms, cost_per_request: 0.001 USD}
declared: {urgency: high, developer_hours: 40, horizon: 14d, monthly_spend: 200, prompt_unchanged_since: "2026-10-01"}
output_contract:
  json_schema: {type: object, required: [section], maximum: 3}
)",
                                           "task.yaml", &task);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(task.owner(), "ml-team");
  EXPECT_EQ(task.targets().latency_p50().nanos(), 600'000'000);
  EXPECT_EQ(task.targets().cost_per_request().nanos(), 1'000'000);
  EXPECT_EQ(task.declared().urgency(), registry::v1::DeclaredFacts::HIGH);
  EXPECT_EQ(task.declared().horizon().seconds(), 14 * 86400);
  EXPECT_EQ(task.declared().monthly_spend().units(), 200);
  EXPECT_EQ(task.declared().monthly_spend().currency_code(), "USD");
  EXPECT_EQ(task.declared().prompt_unchanged_since().seconds(), 1790812800);
  EXPECT_EQ(task.output_contract().json_schema(),
            R"({"type":"object","required":["section"],"maximum":3})");
}

TEST(SpecFileTest, AnExampleOfAPromptMayBeOneText) {
  registry::v1::PromptSpec spec;
  const absl::Status status = ReadSpecText(
      "messages: [{role: user, content: '{{input}}'}]\nfew_shot: {rows: [{input: a game, output: "
      "{section: games}}]}\n",
      "p.yaml", &spec);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(spec.few_shot().rows(0).input().at("input"), "a game");
  EXPECT_EQ(spec.few_shot().rows(0).output(), R"({"section":"games"})");
}

TEST(SpecFileTest, QuotedNumbersStayTextInFreeValuesAndJsonEscapesAreUnderstood) {
  registry::v1::PromptSpec spec;
  ASSERT_TRUE(
      ReadSpecText(R"({"messages": [{"role": "user", "content": "\ud83d\ude00 {{input}}"}]})",
                   "p.json", &spec)
          .ok());
  EXPECT_EQ(spec.messages(0).content(), "😀 {{input}}");
  registry::v1::Task task;
  ASSERT_TRUE(
      ReadSpecText("output_contract: {json_schema: {a: '1', b: 1, c: true, d: null}}", "t", &task)
          .ok());
  EXPECT_EQ(task.output_contract().json_schema(), R"({"a":"1","b":1,"c":true,"d":null})");
}

TEST(SpecFileTest, AnUnknownFieldNamesFileLineAndTheNearestOne) {
  registry::v1::Task task;
  const absl::Status status = ReadSpecText("owner: x\ntarget:\n  score: 0.9\n", "task.yaml", &task);
  EXPECT_EQ(MessageOf(status),
            "task.yaml:3: target: there is no field of this name in Task; did you mean 'targets'?");
}

TEST(SpecFileTest, WrongValuesSayWhatWouldBeRight) {
  scheduler::v1::TrainingSpec spec;
  EXPECT_THAT(MessageOf(ReadSpecText("batch_size: many", "f", &spec)),
              HasSubstr("batch_size: 'many' is not a whole number"));
  EXPECT_THAT(MessageOf(ReadSpecText("schedule: round", "f", &spec)),
              HasSubstr("'round' is none of constant, linear, cosine"));
  EXPECT_THAT(MessageOf(ReadSpecText("adapter: 3", "f", &spec)),
              HasSubstr("a map with the fields of AdapterSpec is expected"));
  EXPECT_THAT(MessageOf(ReadSpecText("a: [", "f", &spec)), HasSubstr("f:"));
  router::v1::Experiment experiment;
  EXPECT_THAT(MessageOf(ReadSpecText("shadow: {duration: long}", "f", &experiment)),
              HasSubstr("'long' is not a duration"));
  EXPECT_THAT(MessageOf(ReadSpecText("budgets: {cost_per_day: much}", "f", &experiment)),
              HasSubstr("is not an amount"));
}

TEST(SpecFileTest, AssignmentsReachNestedFieldsAndReplaceLists) {
  scheduler::v1::TrainingSpec spec;
  ASSERT_TRUE(
      ReadSpecText("adapter: {r: 8, targets: [q_proj, v_proj]}\nepochs: 3", "f", &spec).ok());
  const absl::Status status = ApplyAssignments(
      {"adapter.targets=[o_proj]", "adapter.alpha=64", "epochs=0.5", "packing=shared-prefix"},
      &spec);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(spec.adapter().r(), 8);
  EXPECT_EQ(spec.adapter().alpha(), 64);
  EXPECT_THAT(spec.adapter().targets(), ElementsAre("o_proj"));
  EXPECT_EQ(spec.epochs(), 0.5);
  EXPECT_EQ(spec.packing(), scheduler::v1::TrainingSpec::SHARED_PREFIX);
  EXPECT_THAT(MessageOf(ApplyAssignments({"epochs"}, &spec)),
              HasSubstr("'epochs' is not FIELD=VALUE"));
  EXPECT_THAT(MessageOf(ApplyAssignments({"adapter.rank=3"}, &spec)), HasSubstr("adapter.rank"));
}

}  // namespace
}  // namespace crossover::cli
