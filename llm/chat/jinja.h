// The part of Jinja that chat templates are written in: parsed once, rendered often.
//
// Statements: if/elif/else, for (with else, an if of its own, loop.*, break, continue), set (also
// of a namespace's member, and as a block), macro, generation, raw. Expressions: all of Jinja's but
// * and ** in calls. Filters, tests and the methods of str, dict and list: those in
// jinja_filters.cc, jinja_library.cc and jinja_methods.cc. Functions: range, namespace, dict,
// raise_exception. As transformers sets it: trim_blocks, lstrip_blocks, nothing is escaped, values
// cannot be changed.
#pragma once

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "llm/chat/jinja_syntax.h"
#include "llm/chat/jinja_text.h"
#include "llm/chat/jinja_value.h"

namespace crossover::llm::jinja {

struct Rendered {
  Text text;
  // Byte ranges that {% generation %} marks, in order.
  std::vector<std::pair<size_t, size_t>> generations;
};

// Immutable and thread-safe.
class Program {
 public:
  // Errors of Parse().
  static absl::StatusOr<std::shared_ptr<const Program>> Compile(std::string_view source);

  // InvalidArgument TEMPLATE_FAILED names the line; TEMPLATE_REFUSED is the template's own
  // raise_exception.
  absl::StatusOr<Rendered> Render(Dict globals) const;

  // Whether the template's tags use this name, as a variable, an attribute or a key.
  bool Mentions(std::string_view name) const;

 private:
  Program() = default;

  Body body_;
  std::vector<std::string> names_;  // Sorted.
};

}  // namespace crossover::llm::jinja
