#include "llm/chat/conversation.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::llm {
namespace {

using jinja::Dict;
using jinja::List;
using jinja::Source;
using jinja::Text;
using jinja::Value;
using Json = nlohmann::ordered_json;

constexpr int kMaxJsonDepth = 64;

void Put(Dict& dict, const char* key, Value value) {
  dict.items.emplace_back(Text(key), std::move(value));
}

absl::StatusOr<Value> ParseJson(const std::string& text, Source source, std::string_view what) {
  bool too_deep = false;
  const Json::parser_callback_t watch = [&](int depth, Json::parse_event_t, Json&) {
    too_deep = too_deep || depth > kMaxJsonDepth;
    return !too_deep;
  };
  const Json json = Json::parse(text.empty() ? "{}" : text, watch, /*allow_exceptions=*/false);
  if (json.is_discarded() || too_deep) {
    return Error(
        absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
        absl::StrCat(ToAbsl(what), too_deep ? " is nested too deeply" : " is not valid JSON"));
  }
  return Value::FromJson(json, source);
}

// "000000000", "000000001", …: some templates ask for ids of nine letters or digits.
Value CallId(size_t number) { return Value::Of(absl::StrFormat("%09d", number)); }

absl::StatusOr<Value> ToolCallsOf(const ChatMessage& message, size_t index, size_t first_id) {
  List calls;
  for (size_t i = 0; i < message.tool_calls.size(); ++i) {
    const ToolCall& call = message.tool_calls[i];
    Dict function;
    Put(function, "name", Text(call.name, SourceOf(index)));
    ASSIGN_OR_RETURN(Value arguments, ParseJson(call.arguments, SourceOf(index),
                                                absl::StrCat("messages[", index, "].tool_calls[", i,
                                                             "].function.arguments")));
    Put(function, "arguments", std::move(arguments));
    Dict entry;
    Put(entry, "id", CallId(first_id + i));
    Put(entry, "type", Value::Of("function"));
    Put(entry, "function", std::move(function));
    calls.emplace_back(std::move(entry));
  }
  return Value(std::move(calls));
}

absl::StatusOr<std::string> RoleOf(const ChatMessage& message, size_t index) {
  if (message.role == "developer") return std::string("system");
  for (const char* known : {"system", "user", "assistant", "tool"}) {
    if (message.role == known) return message.role;
  }
  return BadMessage(
      index, "role",
      absl::StrCat("is '", message.role, "'; system, developer, user, assistant or tool"));
}

// For each tool message, the number of the call that it answers.
absl::StatusOr<std::vector<size_t>> AnsweredCalls(const std::vector<ChatMessage>& messages) {
  std::vector<size_t> answered(messages.size());
  std::map<std::string, size_t> numbers;  // Of ids; one that is used again means the later call.
  size_t calls = 0, next = 0;
  for (size_t i = 0; i < messages.size(); ++i) {
    for (const ToolCall& call : messages[i].tool_calls) {
      if (!call.id.empty()) numbers[call.id] = calls;
      ++calls;
    }
    if (messages[i].role != "tool") continue;
    const std::string& id = messages[i].tool_call_id;
    const auto found = numbers.find(id);
    if (!id.empty() && found == numbers.end()) {
      return BadMessage(i, "tool_call_id",
                        absl::StrCat("is '", id, "', which is the id of no call before it"));
    }
    answered[i] = id.empty() ? next : found->second;
    next = answered[i] + 1;
  }
  return answered;
}

// The indices of the messages with each run of tool messages in the order of the calls.
std::vector<size_t> TemplateOrder(const std::vector<ChatMessage>& messages,
                                  const std::vector<size_t>& answered) {
  std::vector<size_t> order(messages.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto is_tool = [&](size_t i) { return messages[i].role == "tool"; };
  for (auto begin = order.begin(); begin != order.end();) {
    begin = std::find_if(begin, order.end(), is_tool);
    const auto end = std::find_if_not(begin, order.end(), is_tool);
    std::stable_sort(begin, end, [&](size_t a, size_t b) { return answered[a] < answered[b]; });
    begin = end;
  }
  return order;
}

absl::StatusOr<Value> MessagesOf(const std::vector<ChatMessage>& messages) {
  ASSIGN_OR_RETURN(const std::vector<size_t> answered, AnsweredCalls(messages));
  List list;
  size_t calls = 0;  // So far.
  for (const size_t i : TemplateOrder(messages, answered)) {
    const ChatMessage& message = messages[i];
    Dict entry;
    ASSIGN_OR_RETURN(const std::string role, RoleOf(message, i));
    Put(entry, "role", Value::Of(role));
    Put(entry, "content", Text(message.content, SourceOf(i)));
    if (!message.tool_calls.empty()) {
      ASSIGN_OR_RETURN(Value tool_calls, ToolCallsOf(message, i, calls));
      Put(entry, "tool_calls", std::move(tool_calls));
      calls += message.tool_calls.size();
    }
    if (role == "tool") Put(entry, "tool_call_id", CallId(answered[i]));
    list.emplace_back(std::move(entry));
  }
  return Value(std::move(list));
}

absl::StatusOr<Value> ToolsOf(const std::vector<ChatTool>& tools, Source source) {
  if (tools.empty()) return Value(jinja::None{});
  List list;
  for (size_t i = 0; i < tools.size(); ++i) {
    Dict function;
    Put(function, "name", Text(tools[i].name, source));
    Put(function, "description", Text(tools[i].description, source));
    ASSIGN_OR_RETURN(Value parameters, ParseJson(tools[i].parameters, source,
                                                 absl::StrCat("tools[", i, "].parameters")));
    Put(function, "parameters", std::move(parameters));
    Dict tool;
    Put(tool, "type", Value::Of("function"));
    Put(tool, "function", std::move(function));
    list.emplace_back(std::move(tool));
  }
  return Value(std::move(list));
}

}  // namespace

absl::Status BadMessage(size_t index, std::string_view field, std::string_view problem) {
  const std::string path = absl::StrCat("messages[", index, "].", ToAbsl(field));
  return Error(
      absl::StatusCode::kInvalidArgument, absl::StrCat(path, " ", ToAbsl(problem)),
      ErrorDetail{.reason = "FIELD_INVALID", .violations = {{path, std::string(problem)}}});
}

absl::StatusOr<Dict> VariablesOf(const TemplateInput& input) {
  Dict variables;
  ASSIGN_OR_RETURN(Value messages, MessagesOf(input.messages));
  Put(variables, "messages", std::move(messages));
  ASSIGN_OR_RETURN(Value tools, ToolsOf(input.tools, SourceOf(input.messages.size())));
  Put(variables, "tools", std::move(tools));
  Put(variables, "documents", jinja::None{});
  Put(variables, "add_generation_prompt", input.for_answer);
  ASSIGN_OR_RETURN(const std::string date, DateText("%d %b %Y", input.date));
  Put(variables, "date_string", Value::Of(date));
  Put(variables, "strftime_now",
      jinja::Function{"strftime_now",
                      [day = input.date](jinja::Arguments arguments) -> absl::StatusOr<Value> {
                        if (arguments.positional.empty())
                          return jinja::Failure("strftime_now takes a format");
                        ASSIGN_OR_RETURN(const std::string text,
                                         DateText(arguments.positional[0].ToText().view(), day));
                        return Value::Of(text);
                      }});
  const auto put_token = [&](const char* name, std::optional<int32_t> id) {
    if (id) Put(variables, name, Value::Of(input.tokenizer.Bytes(*id)));
  };
  put_token("bos_token", input.tokenizer.bos_id());
  put_token("eos_token", input.tokenizer.eos_id());
  return variables;
}

absl::StatusOr<std::string> DateText(std::string_view format, absl::CivilDay day) {
  constexpr std::string_view kLetters = "debBmyYaAjHMSp%";
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') continue;
    ++i;
    if (i == format.size() || kLetters.find(format[i]) == std::string_view::npos) {
      return jinja::Failure(absl::StrCat("the date format '", ToAbsl(format),
                                         "' has a letter that is not supported"));
    }
  }
  return absl::FormatTime(ToAbsl(format), absl::FromCivil(day, absl::UTCTimeZone()),
                          absl::UTCTimeZone());
}

}  // namespace crossover::llm
