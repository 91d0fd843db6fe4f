// Messages as JSON, for programs.
#pragma once

#include <string>

#include "google/protobuf/message.h"

namespace crossover::cli {

// Proto JSON with the protos' own field names (snake_case), absent numbers and texts included, so
// that a field is always there. With `one_line` on one line, for streams. Ends with a new line.
std::string ToJson(const google::protobuf::Message& message, bool one_line = false);

}  // namespace crossover::cli
