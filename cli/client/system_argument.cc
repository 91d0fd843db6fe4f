#include "cli/client/system_argument.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/client/names.h"
#include "cli/client/spec_file.h"
#include "cli/output/error.h"
#include "cli/output/format.h"

namespace crossover::cli {
namespace {

// "a=1,b=2" in its parts.
std::vector<std::string> Parts(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    parts.push_back(text.substr(begin, comma - begin));
    begin = comma + 1;
  }
  return parts;
}

// `openai/gpt-4o-mini`: the upstream's slug, then the model's id, which may hold slashes itself.
absl::Status SetUpstream(const Context& context, const std::string& value,
                         type::v1::System& system) {
  const size_t slash = value.find('/');
  if (slash == std::string::npos || slash == 0 || slash + 1 == value.size()) {
    return UsageError(
        absl::StrCat("'", value, "' is not UPSTREAM/MODEL, such as openai/gpt-4o-mini"));
  }
  ASSIGN_OR_RETURN(*system.mutable_upstream()->mutable_upstream(),
                   FullName(context, "upstreams", value.substr(0, slash)));
  system.mutable_upstream()->set_model(value.substr(slash + 1));
  return absl::OkStatus();
}

absl::Status SetPart(Context& context, const std::string& key, const std::string& value,
                     type::v1::System& system) {
  if (key == "prompt") {
    ASSIGN_OR_RETURN(*system.mutable_prompt_version(), PromptVersionName(context, value));
  } else if (key == "model" || key == "base") {
    system.mutable_base_model()->set_model(value);
  } else if (key == "adapter") {
    system.mutable_adapter()->set_model(value);
  } else if (key == "upstream") {
    return SetUpstream(context, value, system);
  } else if (key == "name") {
    system.set_display_name(value);
  } else if (system.mutable_sampling()->GetDescriptor()->FindFieldByName(key) != nullptr) {
    return ApplyAssignments({"sampling." + key + "=" + value}, &system);
  } else {
    return UsageError(
        absl::StrCat("'", key,
                     "' is no part of a system; known are prompt, model, adapter, upstream, name, "
                     "temperature, top_p, top_k, seed, max_tokens, stop"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<type::v1::System> ReadSystem(Context& context, const std::string& argument) {
  type::v1::System system;
  if (!argument.empty() && argument[0] == '@') {
    RETURN_IF_ERROR(ReadSpecFile(argument.substr(1), &system));
    return system;
  }
  for (const std::string& part : Parts(argument)) {
    const size_t equals = part.find('=');
    if (equals == std::string::npos) {
      return UsageError(
          absl::StrCat("'", part, "' is not PART=VALUE, such as model=smollm2-135m-instruct"));
    }
    RETURN_IF_ERROR(SetPart(context, part.substr(0, equals), part.substr(equals + 1), system));
  }
  if (system.model_case() == type::v1::System::MODEL_NOT_SET) {
    return UsageError(
        absl::StrCat("'", argument, "' names no model; add model=, adapter= or upstream="));
  }
  // An empty sampling message would say "set" where nothing is.
  if (system.sampling().ByteSizeLong() == 0) system.clear_sampling();
  return system;
}

std::string SystemLabel(const type::v1::System& system) {
  if (!system.display_name().empty()) return system.display_name();
  std::string prompt;
  if (!system.prompt_version().empty()) {
    const std::string& name = system.prompt_version();
    const size_t at = name.find("/prompts/");
    const std::string rest = at == std::string::npos ? name : name.substr(at + 9);
    prompt = rest.substr(0, rest.find('/')) + " on ";
  }
  switch (system.model_case()) {
    case type::v1::System::kBaseModel:
      return prompt + ShortName(system.base_model().model());
    case type::v1::System::kAdapter:
      return prompt + "adapter " + ShortDigest(system.adapter().model());
    case type::v1::System::kUpstream:
      return absl::StrCat(prompt, std::string(IdOf(system.upstream().upstream())), "/",
                          system.upstream().model());
    case type::v1::System::MODEL_NOT_SET:
      break;
  }
  return prompt + "?";
}

}  // namespace crossover::cli
