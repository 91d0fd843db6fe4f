// Arguments of functions, filters and methods, taken one by one. Private to the interpreter.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "llm/chat/jinja_value.h"

namespace crossover::llm::jinja {

// The next argument by position, or the one of that name.
class ArgumentReader {
 public:
  ArgumentReader(std::string_view function, Arguments arguments)
      : function_(function), arguments_(std::move(arguments)) {}

  Value Or(std::string_view name, Value fallback);
  absl::StatusOr<std::string> TextOr(std::string_view name, std::string_view fallback);
  absl::StatusOr<int64_t> IntegerOr(std::string_view name, int64_t fallback);
  absl::StatusOr<bool> BoolOr(std::string_view name, bool fallback);
  bool positional_taken() const { return next_ > 0; }
  // All positional arguments not yet taken.
  std::vector<Value> Rest();

  // Failure if an argument was not taken.
  absl::Status Finish() const;

 private:
  absl::Status Wrong(std::string_view name, std::string_view wanted, const Value& value) const;

  std::string function_;
  Arguments arguments_;
  size_t next_ = 0;
};

// Of a text that a template makes, in bytes, and of all texts that one filter makes.
inline constexpr size_t kMaxText = size_t{64} << 20;

// `limit` < 0: all of them.
absl::StatusOr<Value> Replaced(const Text& text, const Text& from, const Text& to, int64_t limit);
absl::StatusOr<Value> Joined(const List& parts, const Text& separator);

}  // namespace crossover::llm::jinja
