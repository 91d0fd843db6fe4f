#include "llm/tokenizer/added_tokens.h"

#include <algorithm>

namespace crossover::llm {

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::erase_if(tokens_, [](const AddedToken& token) { return token.text.empty(); });
  for (const AddedToken& token : tokens_) {
    by_first_byte_[static_cast<uint8_t>(token.text[0])].push_back(&token);
  }
  for (auto& candidates : by_first_byte_) {
    std::stable_sort(
        candidates.begin(), candidates.end(),
        [](const AddedToken* a, const AddedToken* b) { return a->text.size() > b->text.size(); });
  }
}

std::optional<AddedMatch> AddedTokenMatcher::Find(std::string_view text, size_t from,
                                                  bool with_special) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    for (const AddedToken* token : by_first_byte_[static_cast<uint8_t>(text[begin])]) {
      if (token->special && !with_special) continue;
      if (text.compare(begin, token->text.size(), token->text) != 0) continue;
      return AddedMatch{begin, begin + token->text.size(), token};
    }
  }
  return std::nullopt;
}

}  // namespace crossover::llm
