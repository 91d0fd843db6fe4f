#include "llm/constrain/vocabulary.h"

#include <algorithm>

namespace crossover::llm {

TokenVocabulary::TokenVocabulary(std::vector<std::string> bytes) : bytes_(std::move(bytes)) {
  for (int32_t id = 0; id < size(); ++id) {
    // No real token is longer; the depth of a node is a 16-bit number.
    if (bytes_[id].empty() || bytes_[id].size() > 60'000) continue;
    ids_.push_back(id);
    longest_ = std::max(longest_, static_cast<int>(bytes_[id].size()));
  }
  std::sort(ids_.begin(), ids_.end(), [&](int32_t a, int32_t b) {
    const int order = bytes_[a].compare(bytes_[b]);
    return order != 0 ? order < 0 : a < b;
  });
  nodes_.emplace_back();
  std::vector<int32_t> path = {0};  // Of the token before, by length.
  const auto close = [&](size_t length) {
    while (path.size() > length + 1) {
      nodes_[path.back()].end = static_cast<int32_t>(nodes_.size());
      path.pop_back();
    }
  };
  std::string_view last;
  for (size_t i = 0; i < ids_.size(); ++i) {
    const std::string_view text = bytes_[ids_[i]];
    const auto common = static_cast<size_t>(
        std::mismatch(text.begin(), text.end(), last.begin(), last.end()).first - text.begin());
    close(common);
    for (size_t at = common; at < text.size(); ++at) {
      path.push_back(static_cast<int32_t>(nodes_.size()));
      nodes_.push_back({.byte = static_cast<uint8_t>(text[at]),
                        .depth = static_cast<uint16_t>(at + 1),
                        .token = static_cast<int32_t>(i)});
    }
    ++nodes_[path.back()].tokens;
    last = text;
  }
  close(0);
  nodes_[0].end = static_cast<int32_t>(nodes_.size());
}

std::string_view TokenVocabulary::Bytes(int32_t id) const {
  return id < 0 || id >= size() ? std::string_view() : std::string_view(bytes_[id]);
}

}  // namespace crossover::llm
