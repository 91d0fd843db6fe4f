// Fields of the contracts, and of other servers' dialects, that would change the answer and are not
// served: an answer that ignores them would look like one that honours them.
#include "absl/strings/str_cat.h"
#include "services/model_server/transport/openai_fields.h"

namespace crossover::inference {
namespace {

struct UnservedField {
  const char* name;
  const char* same;     // A JSON list of values that ask for what is done anyway.
  const char* instead;  // What to do.
};

constexpr UnservedField kUnserved[] = {
    {"min_p", "[0]", "use top_p or top_k"},
    {"typical_p", "[0, 1]", "use top_p or top_k"},
    {"min_tokens", "[0]", "leave it out, or ask for a form with guided_regex"},
    {"ignore_eos", "[false]", "leave it out, or ask for a form with guided_regex"},
    {"stop_token_ids", "[[]]", "use stop"},
    {"include_stop_str_in_output", "[false]", "append the stop text yourself"},
    {"skip_special_tokens", "[true]", "leave it out: special tokens have no text"},
    {"bad_words", "[[]]", "use logit_bias"},
    {"allowed_token_ids", "[[]]", "use guided_choice or guided_regex"},
    {"best_of", "[1]", "ask for n answers and choose"},
    {"use_beam_search", "[false]", "ask for n answers and choose"},
    {"suffix", R"([""])", "put what comes after into the prompt"},
    {"truncate_prompt_tokens", "[]", "shorten the prompt before it is sent"},
    {"prompt_logprobs", "[]", "use echo with logprobs of /v1/completions"},
    {"functions", "[[]]", "use tools"},
    {"function_call", R"(["none", "auto"])", "use tool_choice"},
    {"chat_template", "[]", "render it yourself and use /v1/completions"},
    {"chat_template_kwargs", "[{}]", "render it yourself and use /v1/completions"},
    {"add_generation_prompt", "[true]", "render it yourself and use /v1/completions"},
    {"continue_final_message", "[false]", "render it yourself and use /v1/completions"},
    {"documents", "[[]]", "put them into a message"},
    {"modalities", R"([["text"]])", "ask for text: models here write nothing else"},
    {"audio", "[]", "ask for text: models here write nothing else"},
    {"web_search_options", "[]", "give what was found in a message"},
};

}  // namespace

absl::Status RefuseUnserved(const ParsedJson& root) {
  for (const UnservedField& field : kUnserved) {
    const ParsedJson& value = Member(root, field.name);
    if (value.is_null()) continue;
    bool same = false;
    for (const ParsedJson& one : ParsedJson::parse(field.same)) same |= one == value;
    if (!same) return BodyFieldError(field.name, absl::StrCat("is not served; ", field.instead));
  }
  return absl::OkStatus();
}

absl::Status RefuseOneCallOnly(const ParsedJson& root, const GenerateCommand& command) {
  const ParsedJson& parallel = Member(root, "parallel_tool_calls");
  if (parallel.is_null() || parallel == true) return absl::OkStatus();
  if (parallel != false) return BodyFieldError("parallel_tool_calls", "must be true or false");
  const auto* chat = std::get_if<ChatPrompt>(&command.prompt);
  const bool several = chat != nullptr && !chat->tools.empty() && !ConstraintOf(command);
  if (!several) return absl::OkStatus();
  return BodyFieldError("parallel_tool_calls",
                        "may not be false where tool_choice leaves the model free; use tool_choice "
                        "required or a function's name, which make it one call");
}

}  // namespace crossover::inference
