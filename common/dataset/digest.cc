#include "common/dataset/digest.h"

#include "common/dataset/identity_json.h"
#include "common/json/canonical.h"
#include "common/status/status_macros.h"

namespace crossover::dataset {

absl::StatusOr<std::string> RowDigest(const Row& row) {
  ASSIGN_OR_RETURN(const internal::Json value, internal::IdentityJson(row));
  return CanonicalDigest(value);
}

absl::StatusOr<std::string> InputDigest(const Row& row) {
  Row input;
  input.messages = InputOf(row);
  input.tools = row.tools;
  input.response_format = row.response_format;
  return RowDigest(input);
}

}  // namespace crossover::dataset
