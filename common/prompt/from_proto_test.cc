// Golden conversions and digests: registry, evaluation and router all go through these two files,
// so that what is measured is what is served. A digest that changes here makes every stored answer
// and route provenance a stranger.
#include "common/prompt/from_proto.h"

#include "common/prompt/render.h"
#include "common/prompt/system_digest.h"
#include "common/testing/matchers.h"

namespace crossover::prompt {
namespace {

using ::testing::ElementsAre;
using testing::HasReasonThat;
using ::testing::HasSubstr;

void AddMessage(registry::v1::PromptSpec& spec, const char* role, const char* content) {
  auto* message = spec.add_messages();
  message->set_role(role);
  message->set_content(content);
}

registry::v1::PromptSpec Proto() {
  registry::v1::PromptSpec spec;
  auto* system = spec.add_messages();
  system->set_role("system");
  system->add_parts()->set_text("Classify ");
  system->add_parts()->set_text("in {{locale}}.");
  AddMessage(spec, "user", "{{locale}}: {{input}}");
  spec.set_variables_schema(R"({"type":"object","properties":{"locale":{"type":"string"}}})");
  auto* example = spec.mutable_few_shot()->add_rows();
  (*example->mutable_input())["input"] = "chat";
  (*example->mutable_input())["locale"] = "fr";
  example->set_output("animal");
  spec.mutable_response_format()->set_type(type::v1::ResponseFormat::JSON_SCHEMA);
  spec.mutable_response_format()->set_json_schema(R"({"type":"object"})");
  spec.mutable_sampling()->set_temperature(0);
  spec.mutable_sampling()->set_max_tokens(16);
  spec.mutable_sampling()->add_stop("\n");
  return spec;
}

TEST(FromProtoTest, PartsExamplesAndTheirOtherVariablesAreRendered) {
  ASSERT_OK_AND_ASSIGN(const PromptSpec spec, FromProto(Proto()));
  ASSERT_OK_AND_ASSIGN(const auto messages, Render(spec, {{"input", "Katze"}, {"locale", "de"}}));
  std::vector<std::string> flat;
  for (const auto& message : messages) flat.push_back(message.role + ":" + TextOf(message));
  EXPECT_THAT(flat, ElementsAre("system:Classify in de.", "user:fr: chat", "assistant:animal",
                                "user:de: Katze"));
}

TEST(FromProtoTest, Golden) {
  ASSERT_OK_AND_ASSIGN(const PromptSpec spec, FromProto(Proto()));
  EXPECT_EQ(
      ToJson(spec),
      R"({"few_shot":[{"fields":{"locale":"fr"},"messages":[{"content":"chat","role":"user"},{"content":"animal","role":"assistant"}]}],)"
      R"("messages":[{"content":"Classify in {{locale}}.","role":"system"},{"content":"{{locale}}: {{input}}","role":"user"}],)"
      R"("response_format":{"json_schema":{"name":"answer","schema":{"type":"object"},"strict":false},"type":"json_schema"},)"
      R"("sampling":{"max_tokens":16,"stop":["\n"],"temperature":0.0},)"
      R"("variables":{"properties":{"locale":{"type":"string"}},"type":"object"}})");
}

TEST(FromProtoTest, AnExampleWithoutInputIsRefused) {
  registry::v1::PromptSpec proto = Proto();
  proto.mutable_few_shot()->mutable_rows(0)->mutable_input()->erase("input");
  EXPECT_THAT(FromProto(proto), HasReasonThat("PROMPT_INVALID"));
  EXPECT_THAT(std::string(FromProto(proto).status().message()),
              HasSubstr("few_shot.rows[0].input"));
}

TEST(FromProtoTest, WhatCannotBeRenderedIsKeptAndSaysSo) {
  registry::v1::PromptSpec proto = Proto();
  proto.mutable_few_shot()->mutable_dynamic()->set_k(3);
  ASSERT_OK_AND_ASSIGN(const PromptSpec spec, FromProto(proto));
  EXPECT_EQ(spec.dynamic_few_shot, R"({"k":3})");
  EXPECT_THAT(CheckRenderable(spec), HasReasonThat("NOT_IMPLEMENTED"));
}

TEST(SystemDigestTest, Golden) {
  SystemIdentity system{.prompt_version = "projects/p/tasks/t/prompts/q/versions/sha256:1",
                        .kind = SystemModel::kAdapter,
                        .model = "sha256:2",
                        .sampling = SamplingFields({.temperature = 0.7, .max_tokens = 16})};
  EXPECT_EQ(SystemDigest(system),
            "sha256:2300cfb314999791989268d0dbf330b4a6cf13c7aebffddc2798edded51b6fab");
  EXPECT_EQ(SystemDigest({.kind = SystemModel::kUpstream,
                          .model = "m",
                          .upstream = "projects/p/upstreams/u",
                          .revision = "m@fp_1"}),
            "sha256:55df6c57735249c8eb884f230ce48b0decbb428c741966d8f753f7175b8aacfb");
}

TEST(SystemDigestTest, EverythingThatDecidesTheAnswerCounts) {
  const SystemIdentity base{.model = "m", .upstream = "u"};
  SystemIdentity other = base;
  const auto differs = [&](auto change) {
    other = base;
    change(other);
    return SystemDigest(other) != SystemDigest(base);
  };
  EXPECT_TRUE(differs([](SystemIdentity& it) { it.prompt_version = "v"; }));
  EXPECT_TRUE(differs([](SystemIdentity& it) { it.kind = SystemModel::kBase; }));
  EXPECT_TRUE(differs([](SystemIdentity& it) { it.model = "n"; }));
  EXPECT_TRUE(differs([](SystemIdentity& it) { it.upstream = "v"; }));
  EXPECT_TRUE(differs([](SystemIdentity& it) { it.revision = "r"; }));
  EXPECT_TRUE(differs([](SystemIdentity& it) { it.sampling["seed"] = "1"; }));
}

}  // namespace
}  // namespace crossover::prompt
