#include "common/dataset/row.h"

#include <nlohmann/json.hpp>

namespace crossover::dataset {

std::string TextOf(const Message& message) {
  if (message.content.has_value()) return *message.content;
  if (message.parts.empty()) return "";
  const nlohmann::json parts = nlohmann::json::parse(message.parts, nullptr, false);
  std::string text;
  if (!parts.is_array()) return text;
  for (const nlohmann::json& part : parts) {
    if (part.is_object() && part.contains("text") && part["text"].is_string()) {
      text += part["text"].get_ref<const std::string&>();
    }
  }
  return text;
}

const Message* AnswerOf(const Row& row) {
  if (row.messages.empty() || row.messages.back().role != "assistant") return nullptr;
  return &row.messages.back();
}

std::vector<Message> InputOf(const Row& row) {
  std::vector<Message> input = row.messages;
  if (!input.empty() && input.back().role == "assistant") input.pop_back();
  return input;
}

std::string AnswerText(const Row& row) {
  const Message* answer = AnswerOf(row);
  return answer == nullptr ? "" : TextOf(*answer);
}

std::string LastUserText(const std::vector<Message>& messages) {
  for (auto message = messages.rbegin(); message != messages.rend(); ++message) {
    if (message->role == "user") return TextOf(*message);
  }
  return "";
}

double LossWeight(const Row& row, size_t index) {
  const Message& message = row.messages[index];
  if (message.weight.has_value()) return *message.weight;
  return message.role == "assistant" ? 1 : 0;
}

}  // namespace crossover::dataset
