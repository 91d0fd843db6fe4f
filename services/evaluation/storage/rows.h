// Rows of result sets as domain values. Only for this room: shows pqxx.
#pragma once

#include <pqxx/pqxx>
#include <string>

#include "absl/status/statusor.h"
#include "services/evaluation/domain/store.h"

namespace crossover::evaluation {

Document ToDocument(const pqxx::row& row);
absl::StatusOr<Answer> ToAnswer(const pqxx::row& row);

// What a text column can hold: models do say U+0000 and broken UTF-8; both become U+FFFD.
std::string ToText(const std::string& text);

}  // namespace crossover::evaluation
