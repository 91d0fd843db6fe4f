#include <algorithm>
#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "llm/formats/dequantize.h"
#include "llm/formats/safetensors.h"

namespace crossover::llm {
namespace {

struct DtypeFacts {
  std::string_view name;
  int64_t bits;
};

// Indexed by Dtype.
constexpr std::array<DtypeFacts, 22> kDtypes = {{
    {"BOOL", 8},        {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
    {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
    {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
    {"I32", 32},        {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},
    {"I64", 64},        {"U64", 64},
}};

absl::Status F64ToFloats(const SafetensorsTensor& tensor, std::span<float> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    double value;
    std::memcpy(&value, tensor.data.data() + i * sizeof(value), sizeof(value));
    out[i] = static_cast<float>(value);
  }
  return absl::OkStatus();
}

}  // namespace

std::string_view NameOf(Dtype dtype) { return kDtypes[static_cast<size_t>(dtype)].name; }

int64_t BitsOf(Dtype dtype) { return kDtypes[static_cast<size_t>(dtype)].bits; }

std::optional<Dtype> DtypeOf(std::string_view name) {
  const auto found = std::find_if(kDtypes.begin(), kDtypes.end(),
                                  [&](const DtypeFacts& facts) { return facts.name == name; });
  if (found == kDtypes.end()) return std::nullopt;
  return static_cast<Dtype>(found - kDtypes.begin());
}

absl::Status ToFloats(const SafetensorsTensor& tensor, std::span<float> out) {
  if (static_cast<int64_t>(out.size()) == tensor.values()) {
    switch (tensor.dtype) {
      case Dtype::kF32:
        return Dequantize(TensorType::kF32, tensor.data, out);
      case Dtype::kF16:
        return Dequantize(TensorType::kF16, tensor.data, out);
      case Dtype::kBf16:
        return Dequantize(TensorType::kBf16, tensor.data, out);
      case Dtype::kF64:
        return F64ToFloats(tensor, out);
      default:
        break;
    }
  }
  return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
               absl::StrCat("tensor '", tensor.name, "' holds ", tensor.values(),
                            " values of type ", ToAbsl(NameOf(tensor.dtype)), "; ", out.size(),
                            " of F32, F16, BF16 or F64 are expected"));
}

std::optional<uint64_t> BytesFor(Dtype dtype, std::span<const int64_t> shape) {
  uint64_t bits = static_cast<uint64_t>(BitsOf(dtype));
  for (const int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(bits, static_cast<uint64_t>(size), &bits)) {
      return std::nullopt;
    }
  }
  if (bits % 8 != 0) return std::nullopt;
  return bits / 8;
}

}  // namespace crossover::llm
