#include "cli/output/json.h"

#include <google/protobuf/util/json_util.h>

namespace crossover::cli {

std::string ToJson(const google::protobuf::Message& message, bool one_line) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = !one_line;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  if (!status.ok()) return "{\"error\":\"" + std::string(status.message()) + "\"}\n";
  if (json.empty() || json.back() != '\n') json += '\n';
  return json;
}

}  // namespace crossover::cli
