// Tokens that are found in the text before it is cut into pieces: control tokens and those added to
// a vocabulary.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace crossover::llm {

struct AddedToken {
  std::string text;
  int32_t id = 0;
  bool special = false;     // A control token: not part of the text that is decoded.
  bool lstrip = false;      // Swallows white space before it …
  bool rstrip = false;      // … and after it.
  bool normalized = false;  // Searched for after normalisation instead of before.
};

struct AddedMatch {
  size_t begin = 0;
  size_t end = 0;
  const AddedToken* token = nullptr;
};

// Leftmost match, the longest there. Immutable and thread-safe.
class AddedTokenMatcher {
 public:
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);
  AddedTokenMatcher(const AddedTokenMatcher&) = delete;
  AddedTokenMatcher& operator=(const AddedTokenMatcher&) = delete;

  // The next match at or after `from`. With `with_special` false, special tokens are passed over.
  std::optional<AddedMatch> Find(std::string_view text, size_t from, bool with_special) const;

  bool empty() const { return tokens_.empty(); }

 private:
  std::vector<AddedToken> tokens_;
  // By first byte, longest first.
  std::array<std::vector<const AddedToken*>, 256> by_first_byte_;
};

}  // namespace crossover::llm
