#include "services/registry/transport/documents.h"

namespace crossover::registry {
namespace {

using google::protobuf::FieldDescriptor;

std::optional<std::string> Present(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

// `labels.team`: an entry of a map<string, string>.
std::optional<std::string> LabelOf(const google::protobuf::Message& proto, const std::string& key) {
  const FieldDescriptor* field = proto.GetDescriptor()->FindFieldByName("labels");
  if (field == nullptr || !field->is_map()) return std::nullopt;
  for (int i = 0; i < proto.GetReflection()->FieldSize(proto, field); ++i) {
    const google::protobuf::Message& entry =
        proto.GetReflection()->GetRepeatedMessage(proto, field, i);
    const auto* descriptor = entry.GetDescriptor();
    if (entry.GetReflection()->GetString(entry, descriptor->field(0)) != key) continue;
    return entry.GetReflection()->GetString(entry, descriptor->field(1));
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> FieldOf(const google::protobuf::Message& proto,
                                   const std::string& name) {
  if (name.rfind("labels.", 0) == 0) return LabelOf(proto, name.substr(7));
  const FieldDescriptor* field = proto.GetDescriptor()->FindFieldByName(name);
  if (field == nullptr || field->is_repeated()) return std::nullopt;
  if (field->type() == FieldDescriptor::TYPE_STRING)
    return Present(proto.GetReflection()->GetString(proto, field));
  if (field->type() == FieldDescriptor::TYPE_ENUM)
    return proto.GetReflection()->GetEnum(proto, field)->name();
  return std::nullopt;
}

}  // namespace crossover::registry
