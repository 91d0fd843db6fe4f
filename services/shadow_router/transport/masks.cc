#include "services/shadow_router/transport/masks.h"

#include <google/protobuf/util/field_mask_util.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"

namespace crossover::router {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::FieldMask;
using google::protobuf::Message;

// What names a resource travels with every update and is never a change.
bool IsIdentity(const std::string& field) { return field == "name" || field == "etag"; }

FieldMask SetFields(const Message& message) {
  FieldMask mask;
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (!IsIdentity(field->name())) mask.add_paths(field->name());
  }
  return mask;
}

}  // namespace

absl::Status ApplyMask(const Message& wanted, const FieldMask& mask,
                       const std::set<std::string>& allowed, Message& stored) {
  using google::protobuf::util::FieldMaskUtil;
  const FieldMask fields = mask.paths_size() > 0 ? mask : SetFields(wanted);
  for (const std::string& path : fields.paths()) {
    const std::string top = path.substr(0, path.find('.'));
    const bool known = wanted.GetDescriptor()->FindFieldByName(top) != nullptr;
    if (!known || IsIdentity(top) || (!allowed.empty() && !allowed.contains(top))) {
      const std::string why = known ? "cannot be changed in this state" : "does not exist";
      return Error(absl::StatusCode::kInvalidArgument,
                   absl::StrCat("update_mask: field '", path, "' ", why),
                   {.reason = "UPDATE_MASK_INVALID",
                    .metadata = {},
                    .violations = {{"update_mask", path + " " + why}}});
    }
  }
  FieldMaskUtil::MergeOptions options;
  options.set_replace_message_fields(true);
  options.set_replace_repeated_fields(true);
  FieldMaskUtil::MergeMessageTo(wanted, fields, options, &stored);
  return absl::OkStatus();
}

}  // namespace crossover::router
