// A step's JSON text as the message it stands for.
#pragma once

#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status/error.h"

namespace crossover::scheduler {

// INVALID_ARGUMENT with the parser's words if the text is not the JSON form of `message`.
inline absl::Status ReadResource(const std::string& text, google::protobuf::Message& message) {
  const auto status = google::protobuf::util::JsonStringToMessage(text, &message);
  if (status.ok()) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
               absl::StrCat("is not a ", message.GetDescriptor()->name(), ": ",
                            std::string(status.message().data(), status.message().size())));
}

// Whether a text holds a reference to an earlier step (or what may be one).
inline bool HoldsReference(std::string_view text) {
  return text.find("{{") != std::string_view::npos;
}

// INVALID_ARGUMENT if a name is of another project; what is empty or a reference passes.
inline absl::Status RequireOwnProject(const std::string& project, const std::string& name,
                                      std::string_view field) {
  if (name.empty() || HoldsReference(name) || name.rfind("projects/", 0) != 0 ||
      name.rfind(absl::StrCat("projects/", project, "/"), 0) == 0) {
    return absl::OkStatus();
  }
  return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
               absl::StrCat(std::string(field), " is '", name,
                            "', but the pipeline is of projects/", project));
}

}  // namespace crossover::scheduler
