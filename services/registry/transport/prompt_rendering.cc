// The methods of PromptService that read what a version says.
#include <utility>

#include "common/prompt/diff.h"
#include "common/prompt/from_proto.h"
#include "common/prompt/render.h"
#include "services/registry/transport/prompt_convert.h"
#include "services/registry/transport/prompt_service.h"

namespace crossover::registry {
namespace {

absl::StatusOr<v1::PromptSpec> ProtoSpecOf(const PromptVersion& version) {
  v1::PromptSpec proto;
  RETURN_IF_ERROR(FromJson(version.spec, proto));
  return proto;
}

absl::StatusOr<prompt::PromptSpec> SpecOf(const PromptVersion& version) {
  ASSIGN_OR_RETURN(const v1::PromptSpec proto, ProtoSpecOf(version));
  return prompt::FromProto(proto);
}

// Estimated at four characters each.
int64_t Tokens(const prompt::PromptSpec& spec) {
  size_t characters = spec.response_format.size();
  for (const prompt::TemplateMessage& message : spec.messages) characters += message.content.size();
  for (const dataset::Row& row : spec.few_shot) {
    for (const dataset::Message& message : row.messages)
      characters += dataset::TextOf(message).size();
  }
  return static_cast<int64_t>(characters / 4);
}

std::string DiffText(const prompt::Change& change) {
  if (!change.lines.empty()) return change.lines;
  std::string text;
  if (change.kind != prompt::Change::Kind::kAdded) text += "-" + change.before + "\n";
  if (change.kind != prompt::Change::Kind::kRemoved) text += "+" + change.after + "\n";
  return text;
}

}  // namespace

absl::Status PromptServiceImpl::DoDiffPromptVersion(const v1::DiffPromptVersionRequest& request,
                                                    v1::DiffPromptVersionResponse& response) {
  ASSIGN_OR_RETURN(const PromptVersion newer, Find(request.name(), "name"));
  if (request.base().empty() && newer.parent.empty()) {
    return FieldInvalid("base", "is missing, and the version has no parent to compare with");
  }
  const std::string base =
      request.base().empty() ? VersionNameOf(newer.prompt, newer.parent) : request.base();
  ASSIGN_OR_RETURN(const PromptVersion older, Find(base, "base"));
  ASSIGN_OR_RETURN(const prompt::PromptSpec before, SpecOf(older));
  ASSIGN_OR_RETURN(const prompt::PromptSpec after, SpecOf(newer));
  for (const prompt::Change& change : prompt::Diff(before, after)) {
    auto& item = *response.add_changes();
    item.set_field(change.field);
    item.set_diff(DiffText(change));
  }
  response.set_base(base);
  response.set_token_difference(Tokens(after) - Tokens(before));
  return absl::OkStatus();
}

absl::Status PromptServiceImpl::DoRenderPromptVersion(const v1::RenderPromptVersionRequest& request,
                                                      v1::RenderPromptVersionResponse& response) {
  ASSIGN_OR_RETURN(const PromptVersion version, Find(request.name(), "name"));
  ASSIGN_OR_RETURN(const v1::PromptSpec proto, ProtoSpecOf(version));
  ASSIGN_OR_RETURN(const prompt::PromptSpec spec, prompt::FromProto(proto));
  prompt::Variables variables(request.variables().begin(), request.variables().end());
  std::vector<dataset::Message> rendered;
  if (request.messages().empty()) {
    ASSIGN_OR_RETURN(rendered, prompt::Render(spec, variables));
  } else {
    std::vector<dataset::Message> chat;
    for (const auto& message : request.messages()) chat.push_back(FromProto(message));
    ASSIGN_OR_RETURN(rendered, prompt::RenderChat(spec, chat, std::move(variables)));
  }
  for (const dataset::Message& message : rendered) *response.add_messages() = ToProto(message);
  if (proto.has_response_format()) *response.mutable_response_format() = proto.response_format();
  return absl::OkStatus();
}

absl::Status PromptServiceImpl::DoDecomposePromptVersion(const v1::DecomposePromptVersionRequest&,
                                                         v1::DecomposePromptVersionResponse&) {
  return NotImplemented("DecomposePromptVersion",
                        "take instructions and examples from the prompt's text by hand");
}

}  // namespace crossover::registry
