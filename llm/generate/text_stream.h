// Turns the bytes of generated tokens into text that may be shown: whole UTF-8 characters, nothing
// of a stop string. No torch.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace crossover::llm {

class TextStream {
 public:
  // Borrows nothing.
  explicit TextStream(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  // Appends a token's bytes and returns the text that became certain. After stopped() it returns
  // "".
  std::string Push(std::string_view bytes);
  // The rest, when generation ends otherwise. Broken characters become U+FFFD.
  std::string Flush();

  bool stopped() const {
    return stopped_;
  }  // A stop string came; what stands before it has been returned.

 private:
  std::string Release(size_t count);

  std::vector<std::string> stops_;
  std::string pending_;
  bool stopped_ = false;
};

}  // namespace crossover::llm
