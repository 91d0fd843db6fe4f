#include "common/rpc/request_key.h"

#include <google/protobuf/util/json_util.h>

#include <memory>
#include <string>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/json/digest.h"
#include "common/status/status_macros.h"

namespace crossover::rpc {

absl::StatusOr<RequestKey> RequestKeyOf(const google::protobuf::Message& request,
                                        FieldNames names) {
  std::unique_ptr<google::protobuf::Message> copy(request.New());
  copy->CopyFrom(request);
  const auto* field = copy->GetDescriptor()->FindFieldByName("request_id");
  if (field == nullptr) {
    return absl::InternalError(
        absl::StrCat(request.GetTypeName(), " has no field request_id: it cannot be asked once"));
  }
  const std::string id = copy->GetReflection()->GetString(*copy, field);
  RETURN_IF_ERROR(CheckRequestId(id));
  copy->GetReflection()->ClearField(copy.get(), field);
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = names == FieldNames::kProto;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(*copy, &text, options).ok())
    text = copy->DebugString();
  // Maps have no order on the wire; JSON sorts their keys.
  return RequestKey{
      id, DigestOf(nlohmann::json::accept(text) ? nlohmann::json::parse(text).dump() : text)};
}

}  // namespace crossover::rpc
