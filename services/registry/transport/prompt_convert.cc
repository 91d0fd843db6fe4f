#include "services/registry/transport/prompt_convert.h"

#include <google/protobuf/util/time_util.h>

#include "common/prompt/from_proto.h"
#include "common/status/status_macros.h"
#include "services/registry/transport/document.h"
#include "services/registry/transport/names.h"
#include "services/registry/transport/timestamp.h"

namespace crossover::registry {
namespace {

namespace type = ::crossover::type::v1;

}  // namespace

absl::StatusOr<v1::PromptVersion> ToProto(const PromptVersion& version) {
  v1::PromptVersion proto;
  proto.set_name(VersionNameOf(version.prompt, version.digest));
  *proto.mutable_create_time() = Stamp(version.create_time);
  *proto.mutable_update_time() = Stamp(version.update_time);
  proto.mutable_labels()->insert(version.labels.begin(), version.labels.end());
  proto.set_digest(version.digest);
  RETURN_IF_ERROR(FromJson(version.spec, *proto.mutable_spec()));
  if (!version.parent.empty()) proto.set_parent(VersionNameOf(version.prompt, version.parent));
  proto.set_note(version.note);
  proto.set_evaluation(version.evaluation);
  v1::PromptVersion::State state = v1::PromptVersion::STATE_UNSPECIFIED;
  v1::PromptVersion::State_Parse(std::string(Name(version.state)), &state);
  proto.set_state(state);
  if (version.activate_time.has_value())
    *proto.mutable_activate_time() = Stamp(*version.activate_time);
  proto.set_override_reason(version.override_reason);
  return proto;
}

type::ChatMessage ToProto(const dataset::Message& message) {
  type::ChatMessage proto;
  proto.set_role(message.role);
  if (message.content.has_value() || !message.parts.empty())
    proto.set_content(dataset::TextOf(message));
  for (const dataset::ToolCall& call : message.tool_calls) {
    type::ToolCall& item = *proto.add_tool_calls();
    item.set_id(call.id);
    item.set_type("function");
    item.set_name(call.name);
    item.set_arguments(call.arguments);
  }
  proto.set_tool_call_id(message.tool_call_id);
  proto.set_name(message.name);
  return proto;
}

dataset::Message FromProto(const type::ChatMessage& proto) {
  dataset::Message message{.role = proto.role()};
  if (proto.has_content() || proto.parts_size() > 0) message.content = prompt::ContentOf(proto);
  for (const type::ToolCall& call : proto.tool_calls()) {
    message.tool_calls.push_back({call.id(), call.name(), call.arguments()});
  }
  message.tool_call_id = proto.tool_call_id();
  message.name = proto.name();
  return message;
}

}  // namespace crossover::registry
