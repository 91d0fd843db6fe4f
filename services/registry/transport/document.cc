#include "services/registry/transport/document.h"

#include <google/api/field_behavior.pb.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/util/field_mask_util.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>

#include <array>
#include <memory>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::registry {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
namespace util = google::protobuf::util;

constexpr std::array<const char*, 6> kColumns = {"name", "create_time", "update_time",
                                                 "etag", "state",       "state_reason"};

bool CallersMaySet(const FieldDescriptor& field) {
  if (field.name() == "etag") return false;
  const auto& options = field.options();
  for (int i = 0; i < options.ExtensionSize(google::api::field_behavior); ++i) {
    const auto behavior = options.GetExtension(google::api::field_behavior, i);
    if (behavior == google::api::OUTPUT_ONLY || behavior == google::api::IDENTIFIER) return false;
  }
  return true;
}

void PutText(Message& proto, const char* name, const std::string& text) {
  const FieldDescriptor* field = proto.GetDescriptor()->FindFieldByName(name);
  if (field == nullptr) return;
  if (field->type() == FieldDescriptor::TYPE_STRING)
    proto.GetReflection()->SetString(&proto, field, text);
  if (field->type() != FieldDescriptor::TYPE_ENUM) return;
  const auto* value = field->enum_type()->FindValueByName(text);
  if (value != nullptr) proto.GetReflection()->SetEnum(&proto, field, value);
}

void PutTime(Message& proto, const char* name, absl::Time time) {
  const FieldDescriptor* field = proto.GetDescriptor()->FindFieldByName(name);
  if (field == nullptr) return;
  proto.GetReflection()
      ->MutableMessage(&proto, field)
      ->CopyFrom(util::TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(time)));
}

absl::Status MaskInvalid(const std::string& path) {
  return Error(absl::StatusCode::kInvalidArgument,
               absl::StrCat("update_mask: `", path, "` is not a field that can be set"),
               {.reason = "UPDATE_MASK_INVALID", .violations = {{"update_mask", path}}});
}

// Paths of the top-level fields that are set.
std::vector<std::string> SetFields(const Message& proto) {
  std::vector<const FieldDescriptor*> fields;
  proto.GetReflection()->ListFields(proto, &fields);
  std::vector<std::string> paths;
  for (const FieldDescriptor* field : fields) {
    if (CallersMaySet(*field)) paths.push_back(field->name());
  }
  return paths;
}

}  // namespace

void ClearOutputFields(Message& proto) {
  for (int i = 0; i < proto.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* field = proto.GetDescriptor()->field(i);
    if (!CallersMaySet(*field)) proto.GetReflection()->ClearField(&proto, field);
  }
}

absl::StatusOr<std::string> ToJson(const Message& proto) {
  util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  const auto status = util::MessageToJsonString(proto, &json, options);
  if (status.ok()) return json;
  return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
               absl::StrCat("the message has no JSON form: ", status.ToString()));
}

absl::Status FromJson(const std::string& json, Message& proto) {
  util::JsonParseOptions options;
  options.ignore_unknown_fields = true;  // written by a newer version
  const auto status = util::JsonStringToMessage(json, &proto, options);
  if (status.ok()) return absl::OkStatus();
  return Error(absl::StatusCode::kDataLoss, "INTERNAL_ERROR",
               absl::StrCat("stored document: ", status.ToString()));
}

absl::StatusOr<std::string> DocumentOf(const Message& proto) {
  std::unique_ptr<Message> copy(proto.New());
  copy->CopyFrom(proto);
  for (const char* column : kColumns) {
    const FieldDescriptor* field = copy->GetDescriptor()->FindFieldByName(column);
    if (field != nullptr) copy->GetReflection()->ClearField(copy.get(), field);
  }
  return ToJson(*copy);
}

absl::Status ReadDocument(const Resource& resource, const std::string& name, Message& proto) {
  RETURN_IF_ERROR(FromJson(resource.document, proto));
  PutText(proto, "name", name);
  PutTime(proto, "create_time", resource.create_time);
  PutTime(proto, "update_time", resource.update_time);
  PutText(proto, "etag", absl::StrCat(resource.revision));
  PutText(proto, "state", resource.state);
  PutText(proto, "state_reason", resource.state_reason);
  return absl::OkStatus();
}

absl::Status ApplyMask(const Message& given, const google::protobuf::FieldMask& mask,
                       Message& stored) {
  google::protobuf::FieldMask paths = mask;
  if (paths.paths().empty()) {
    for (const std::string& path : SetFields(given)) paths.add_paths(path);
  }
  for (const std::string& path : paths.paths()) {
    std::vector<const FieldDescriptor*> fields;
    const bool exists =
        util::FieldMaskUtil::GetFieldDescriptors(given.GetDescriptor(), path, &fields);
    if (!exists || !CallersMaySet(*fields.front())) return MaskInvalid(path);
  }
  util::FieldMaskUtil::MergeOptions options;
  options.set_replace_message_fields(true);
  options.set_replace_repeated_fields(true);
  util::FieldMaskUtil::MergeMessageTo(given, paths, options, &stored);
  return absl::OkStatus();
}

absl::StatusOr<int64_t> RevisionFromEtag(const std::string& etag) {
  int64_t revision = 0;
  if (etag.empty() || absl::SimpleAtoi(etag, &revision)) return revision;
  return Error(absl::StatusCode::kAborted, "ETAG_MISMATCH",
               "etag is not the current one: read again and repeat the change");
}

}  // namespace crossover::registry
