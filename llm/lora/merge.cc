#include "llm/lora/merge.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/status_macros.h"
#include "llm/formats/gguf_file.h"

namespace crossover::llm {

namespace {

// w [out, in] += scale * b [out, rank] a [rank, in]; with DoRA each row then has its magnitude.
void AddProduct(const LoraMatrix& matrix, std::span<const float> values, std::span<float> w) {
  const float* a = values.data() + matrix.a_offset;
  const float* b = values.data() + matrix.b_offset;
  for (int64_t o = 0; o < matrix.out; ++o) {
    float* row = w.data() + o * matrix.in;
    for (int64_t r = 0; r < matrix.rank; ++r) {
      const float factor = static_cast<float>(matrix.scale) * b[o * matrix.rank + r];
      const float* ar = a + r * matrix.in;
      for (int64_t i = 0; i < matrix.in; ++i) row[i] += factor * ar[i];
    }
    if (!matrix.scaled()) continue;
    double squares = 0;
    for (int64_t i = 0; i < matrix.in; ++i) squares += static_cast<double>(row[i]) * row[i];
    const double norm = std::sqrt(std::max(squares, 1e-30));
    const float factor = static_cast<float>(values[matrix.m_offset + o] / norm);
    for (int64_t i = 0; i < matrix.in; ++i) row[i] *= factor;
  }
}

}  // namespace

MergedWeights::MergedWeights(std::unique_ptr<WeightSource> base, LoraAdapter adapter)
    : base_(std::move(base)), adapter_(std::move(adapter)) {
  for (const LoraMatrix& matrix : adapter_.layout.matrices()) {
    adapted_[absl::StrCat(ModuleName(matrix), ".weight")] = &matrix;
  }
}

absl::StatusOr<std::unique_ptr<const MergedWeights>> MergedWeights::Open(
    const std::filesystem::path& base, const std::filesystem::path& adapter_folder) {
  ASSIGN_OR_RETURN(std::unique_ptr<WeightSource> source, OpenWeights(base.string()));
  ASSIGN_OR_RETURN(LoraAdapter adapter, ReadAdapter(adapter_folder, source->config()));
  return std::unique_ptr<const MergedWeights>(
      new MergedWeights(std::move(source), std::move(adapter)));
}

WeightReader MergedWeights::reader() const {
  return [this](const WeightSpec& weight, std::span<float> values) -> absl::Status {
    ASSIGN_OR_RETURN(const TensorRows rows, base_->Rows(weight.gguf_name, weight.permuted_heads));
    rows.Decode(0, rows.rows(), values.data());
    const auto found = adapted_.find(weight.hf_name);
    if (found != adapted_.end()) AddProduct(*found->second, adapter_.values, values);
    return absl::OkStatus();
  };
}

absl::Status MergeToGguf(const std::filesystem::path& base_gguf,
                         const std::filesystem::path& adapter_folder,
                         const GgufExportOptions& options, const std::filesystem::path& out) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const GgufFile> base, GgufFile::Open(base_gguf));
  ASSIGN_OR_RETURN(const std::unique_ptr<const MergedWeights> merged,
                   MergedWeights::Open(base_gguf, adapter_folder));
  return ExportGguf(*base, merged->config(), merged->reader(), options, out);
}

}  // namespace crossover::llm
