#include "services/data_curation/domain/row_key.h"

#include "common/dataset/row_json.h"
#include "services/data_curation/domain/text.h"

namespace crossover::curation {

std::string InputText(const dataset::Row& row) {
  std::string text;
  const dataset::Message* answer = dataset::AnswerOf(row);
  for (const dataset::Message& message : row.messages) {
    if (&message == answer || message.role == "system" || message.role == "developer") continue;
    if (!text.empty()) text += '\n';
    text += dataset::TextOf(message);
    for (const dataset::ToolCall& call : message.tool_calls)
      text += " " + call.name + " " + call.arguments;
  }
  return text;
}

std::string AnswerKey(const dataset::Row& row) {
  const dataset::Message* answer = dataset::AnswerOf(row);
  std::string key = answer == nullptr ? "" : dataset::MessagesToJson({*answer});
  if (!row.rejected.empty()) key += dataset::MessagesToJson(row.rejected);
  return key;
}

std::string NormalisedInput(const dataset::Row& row) {
  const std::string normalised = Normalise(InputText(row));
  return JoinWords(Words(normalised));
}

int SplitRank(std::string_view split) {
  if (split == dataset::kTest) return 0;
  return split == dataset::kValidation ? 1 : 2;
}

}  // namespace crossover::curation
