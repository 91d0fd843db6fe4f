#include "common/dataset/identity_json.h"

#include "common/dataset/message_json.h"
#include "common/status/status_macros.h"

namespace crossover::dataset::internal {
namespace {

absl::Status PutCarried(Json& value, const char* key, const std::string& text) {
  if (text.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(value[key], ParseJson(text, key));
  return absl::OkStatus();
}

absl::Status CheckPartsAreJson(const std::vector<Message>& messages, std::string_view path) {
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].parts.empty()) continue;
    RETURN_IF_ERROR(ParseJson(messages[i].parts, Join(At(path, i), "content")).status());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Json> IdentityJson(const Row& row) {
  RETURN_IF_ERROR(CheckPartsAreJson(row.messages, "messages"));
  RETURN_IF_ERROR(CheckPartsAreJson(row.rejected, "rejected"));
  Json value = {{"messages", MessagesToJsonValue(row.messages, false)}};
  RETURN_IF_ERROR(PutCarried(value, "tools", row.tools));
  RETURN_IF_ERROR(PutCarried(value, "response_format", row.response_format));
  if (!row.rejected.empty()) value["rejected"] = MessagesToJsonValue(row.rejected, false);
  return value;
}

Json GroupToJson(const Group& group) {
  Json value = Json::object();
  const auto put = [&value](const char* key, const std::string& text) {
    if (!text.empty()) value[key] = text;
  };
  put("conversation", group.conversation);
  put("user", group.user);
  put("template", group.template_id);
  put("source", group.source);
  return value;
}

}  // namespace crossover::dataset::internal
