// Private to common/dataset: the JSON value that a row's digest and leaf are made of.
#pragma once

#include "absl/status/statusor.h"
#include "common/dataset/json_fields.h"
#include "common/dataset/row.h"

namespace crossover::dataset::internal {

// {messages, tools, response_format, rejected} without weights, absent keys omitted.
// InvalidArgument ROW_INVALID if carried JSON text does not parse.
absl::StatusOr<Json> IdentityJson(const Row& row);

// The members of `group` that are set; an empty object if none is.
Json GroupToJson(const Group& group);

// A row from any accepted form, without the checks of a whole conversation. Defined in row_json.cc.
absl::StatusOr<Row> RowFromJson(const Json& object);

}  // namespace crossover::dataset::internal
