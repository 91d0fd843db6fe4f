#include "llm/constrain/spec.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/constrain/characters.h"
#include "llm/constrain/json_rules.h"
#include "llm/constrain/regex.h"
#include "llm/constrain/schema_compiler.h"

namespace crossover::llm {

using constrain::Automaton;
using constrain::AutomatonBuilder;

namespace {

using Rule = AutomatonBuilder::Rule;
using Node = AutomatonBuilder::Node;

absl::Status BadConstraint(const std::string& message) {
  return Error(absl::StatusCode::kInvalidArgument, "CONSTRAINT_INVALID", message);
}

// What is put into one automaton.
class SpecCompiler {
 public:
  absl::StatusOr<Automaton> Compile(const ConstraintSpec& spec) {
    const Rule start = builder_.NewRule();
    RETURN_IF_ERROR(Add(spec, builder_.entry(start), builder_.exit(start)));
    return Finish(start);
  }

 private:
  absl::Status Add(const ConstraintSpec& spec, Node from, Node to) {
    switch (spec.kind) {
      case ConstraintSpec::Kind::kJsonObject:
        builder_.Call(from, rules_.Object(), to);
        return absl::OkStatus();
      case ConstraintSpec::Kind::kJsonSchema:
        return AddSchema(spec.text, from, to);
      case ConstraintSpec::Kind::kRegex: {
        ASSIGN_OR_RETURN(const constrain::CharAutomaton texts,
                         constrain::CompileRegex(spec.text, constrain::RegexUse::kWhole));
        AddText(builder_, from, texts, constrain::Spelling::kUtf8, to);
        return absl::OkStatus();
      }
      case ConstraintSpec::Kind::kChoice:
        if (spec.choices.empty()) return BadConstraint("a choice needs at least one text");
        builder_.AnyOf(from, spec.choices, to);
        return absl::OkStatus();
      case ConstraintSpec::Kind::kToolCall:
        return AddCalls(spec.tools, from, to);
      case ConstraintSpec::Kind::kAnyOf:
        for (const ConstraintSpec& alternative : spec.alternatives)
          RETURN_IF_ERROR(Add(alternative, from, to));
        return absl::OkStatus();
    }
    return absl::InternalError("a constraint of no kind");
  }

  absl::Status AddSchema(std::string_view text, Node from, Node to) {
    ASSIGN_OR_RETURN(const constrain::SchemaJson schema, constrain::ParseSchema(text));
    constrain::SchemaCompiler compiler(schema, builder_, rules_);
    ASSIGN_OR_RETURN(const Rule rule, compiler.Compile());
    builder_.Call(from, rule, to);
    return absl::OkStatus();
  }

  absl::Status AddCalls(const std::vector<ConstraintSpec::Tool>& tools, Node from, Node to) {
    if (tools.empty()) return BadConstraint("a tool call needs at least one tool");
    for (const ConstraintSpec::Tool& tool : tools) {
      const Node begin = builder_.Text(
          from, absl::StrCat("<tool_call>\n{\"name\": \"",
                             constrain::Spelled(tool.name, constrain::Spelling::kJson),
                             "\", \"arguments\": "));
      const Node end = builder_.NewNode();
      if (tool.parameters.empty()) {
        builder_.Call(begin, rules_.Object(), end);
      } else {
        const absl::Status added = AddSchema(tool.parameters, begin, end);
        if (!added.ok()) return WithContext(added, absl::StrCat("parameters of tool ", tool.name));
      }
      builder_.Text(end, "}\n</tool_call>", to);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Automaton> Finish(Rule start) {
    absl::StatusOr<Automaton> automaton = builder_.Build(start);
    if (automaton.ok()) return automaton;
    switch (automaton.status().code()) {
      case absl::StatusCode::kResourceExhausted:
        return BadConstraint(
            "the constraint is too large; make maxLength, maxItems, counts in { } or the number of "
            "choices smaller");
      case absl::StatusCode::kFailedPrecondition:
        return BadConstraint(
            absl::StrCat("the constraint cannot be met: ", automaton.status().message()));
      default:
        return automaton.status();
    }
  }

  AutomatonBuilder builder_;
  constrain::JsonRules rules_{builder_};
};

}  // namespace

std::string CanonicalText(const ConstraintSpec& spec) {
  std::string text = absl::StrCat(static_cast<int>(spec.kind));
  const auto add = [&](const std::string& part) {
    absl::StrAppend(&text, ":", part.size(), ":", part);
  };
  add(spec.text);
  for (const std::string& choice : spec.choices) add(choice);
  for (const ConstraintSpec::Tool& tool : spec.tools) {
    add(tool.name);
    add(tool.parameters);
  }
  for (const ConstraintSpec& alternative : spec.alternatives) add(CanonicalText(alternative));
  return text;
}

absl::StatusOr<Automaton> CompileAutomaton(const ConstraintSpec& spec) {
  return SpecCompiler().Compile(spec);
}

}  // namespace crossover::llm
