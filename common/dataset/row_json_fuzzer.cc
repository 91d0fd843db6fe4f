// Any line either parses into a row that survives the way through JSON, digest and leaf, or gives
// an error with a reason.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "common/dataset/digest.h"
#include "common/dataset/leaf.h"
#include "common/dataset/row_json.h"
#include "common/status/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace dataset = crossover::dataset;
  const auto parsed = dataset::ParseRowLine({reinterpret_cast<const char*>(data), size}, 1);
  if (!parsed.ok()) {
    if (!crossover::HasReason(parsed.status(), "ROW_INVALID")) std::abort();
    return 0;
  }
  const auto again = dataset::ParseRow(dataset::RowToJson(parsed->row));
  if (!again.ok() || again->row != parsed->row) std::abort();
  if (!dataset::RowDigest(parsed->row).ok()) std::abort();
  dataset::Row row = parsed->row;
  row.split = "train";
  const auto leaf = dataset::LeafBytes(row);
  if (!leaf.ok() || !dataset::ParseLeaf(*leaf).ok()) std::abort();
  return 0;
}
