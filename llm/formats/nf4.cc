#include "llm/formats/nf4.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/float_bits.h"

namespace crossover::llm {
namespace {

constexpr std::string_view kNf4State = ".quant_state.bitsandbytes__nf4";
constexpr std::string_view kFp4State = ".quant_state.bitsandbytes__fp4";

// Half way between neighbours of kNf4Values.
constexpr std::array<float, 15> Midpoints() {
  std::array<float, 15> middle{};
  for (size_t i = 0; i < middle.size(); ++i) {
    middle[i] = static_cast<float>(
        (static_cast<double>(kNf4Values[i]) + static_cast<double>(kNf4Values[i + 1])) / 2);
  }
  return middle;
}

uint8_t NearestCode(float x) {
  static constexpr std::array<float, 15> kMiddle = Midpoints();
  uint8_t code = 0;
  for (const float middle : kMiddle) code += x > middle;
  return code;
}

void Store(float value, float& out) { out = value; }
void Store(float value, uint16_t& out) { out = FloatToBf16(value); }

// A block has 16 different values, so a table of them saves the arithmetic.
template <typename T>
void Decode(const Nf4Tensor& tensor, int64_t first, std::span<T> out) {
  const auto code_at = [&](int64_t i) {
    const auto byte = static_cast<uint8_t>(tensor.codes[i / 2]);
    return i % 2 == 0 ? byte >> 4 : byte & 15;
  };
  const int64_t last = first + static_cast<int64_t>(out.size());
  for (int64_t i = first; i < last;) {
    const int64_t block = i / tensor.block;
    const int64_t end = std::min(last, (block + 1) * tensor.block);
    const float scale = (*tensor.absmax)[block];
    std::array<T, 16> table;
    for (size_t code = 0; code < table.size(); ++code) Store(tensor.map[code] * scale, table[code]);
    T* to = out.data() + (i - first);
    if (i % 2 != 0 && i < end) {
      *to++ = table[code_at(i++)];
    }
    for (; i + 1 < end; i += 2, to += 2) {
      const auto byte = static_cast<uint8_t>(tensor.codes[i / 2]);
      to[0] = table[byte >> 4];
      to[1] = table[byte & 15];
    }
    if (i < end) *to = table[code_at(i++)];
  }
}

absl::Status InvalidNf4(const SafetensorsFile& file, std::string_view name, std::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
               absl::StrCat(file.path(), ": tensor '", ToAbsl(name), "' ", ToAbsl(what)));
}

absl::StatusOr<const SafetensorsTensor*> Require(const SafetensorsFile& file,
                                                 const std::string& name, Dtype dtype,
                                                 int64_t values) {
  const SafetensorsTensor* tensor = file.FindTensor(name);
  if (tensor == nullptr) return InvalidNf4(file, name, "is missing");
  if (tensor->dtype != dtype || tensor->values() != values) {
    return InvalidNf4(
        file, name,
        absl::StrCat("has ", tensor->values(), " values of type ", ToAbsl(NameOf(tensor->dtype)),
                     "; ", values, " of type ", ToAbsl(NameOf(dtype)), " belong there"));
  }
  return tensor;
}

absl::StatusOr<std::vector<float>> ReadFloats(const SafetensorsFile& file, const std::string& name,
                                              int64_t values) {
  ASSIGN_OR_RETURN(const SafetensorsTensor* tensor, Require(file, name, Dtype::kF32, values));
  std::vector<float> floats(values);
  RETURN_IF_ERROR(ToFloats(*tensor, floats));
  return floats;
}

// What the JSON beside a tensor says.
struct State {
  int64_t block = kNf4Block;
  std::vector<int64_t> shape;
  int64_t nested_block = 0;  // 0: magnitudes are plain numbers.
  float nested_offset = 0;
};

absl::StatusOr<State> ReadState(const SafetensorsFile& file, const std::string& name) {
  const std::string state_name = absl::StrCat(name, ToAbsl(kNf4State));
  const SafetensorsTensor* tensor = file.FindTensor(state_name);
  if (tensor == nullptr) return InvalidNf4(file, state_name, "is missing");
  const std::string_view text(reinterpret_cast<const char*>(tensor->data.data()),
                              tensor->data.size());
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return InvalidNf4(file, state_name, "is not a JSON object");
  State state;
  try {
    if (json.at("quant_type") != "nf4") return InvalidNf4(file, state_name, "is not of type nf4");
    state.block = json.at("blocksize").get<int64_t>();
    state.shape = json.at("shape").get<std::vector<int64_t>>();
    if (json.contains("nested_blocksize")) {
      state.nested_block = json.at("nested_blocksize").get<int64_t>();
      state.nested_offset = json.at("nested_offset").get<float>();
    }
  } catch (const nlohmann::json::exception& e) {
    return InvalidNf4(file, state_name, e.what());
  }
  constexpr int64_t kMaxBlock = 1 << 20;
  const auto power_of_two = [](int64_t n) {
    return n >= 2 && n <= kMaxBlock && (n & (n - 1)) == 0;
  };
  if (!power_of_two(state.block) || (state.nested_block != 0 && !power_of_two(state.nested_block)))
    return InvalidNf4(file, state_name, "has a block size that is no power of two");
  return state;
}

// Magnitudes that are quantised themselves: map[code] * nested_absmax[i / nested_block] + offset.
absl::StatusOr<std::vector<float>> ReadAbsmax(const SafetensorsFile& file, const std::string& name,
                                              const State& state, int64_t blocks) {
  if (state.nested_block == 0) return ReadFloats(file, absl::StrCat(name, ".absmax"), blocks);
  ASSIGN_OR_RETURN(const SafetensorsTensor* codes,
                   Require(file, absl::StrCat(name, ".absmax"), Dtype::kU8, blocks));
  ASSIGN_OR_RETURN(const std::vector<float> map,
                   ReadFloats(file, absl::StrCat(name, ".nested_quant_map"), 256));
  ASSIGN_OR_RETURN(const std::vector<float> nested,
                   ReadFloats(file, absl::StrCat(name, ".nested_absmax"),
                              (blocks + state.nested_block - 1) / state.nested_block));
  std::vector<float> absmax(blocks);
  for (int64_t i = 0; i < blocks; ++i) {
    absmax[i] = map[static_cast<uint8_t>(codes->data[i])] * nested[i / state.nested_block] +
                state.nested_offset;
  }
  return absmax;
}

}  // namespace

void EncodeNf4(std::span<const float> values, std::span<std::byte> codes, std::span<float> absmax) {
  for (size_t block = 0; block < absmax.size(); ++block) {
    const float* x = values.data() + block * kNf4Block;
    std::byte* out = codes.data() + block * kNf4Block / 2;
    float largest = 0;
    for (int64_t j = 0; j < kNf4Block; ++j) largest = std::max(largest, std::fabs(x[j]));
    absmax[block] = largest;
    const float inverse = largest > 0 ? 1.0f / largest : 0.0f;
    for (int64_t j = 0; j < kNf4Block; j += 2) {
      out[j / 2] = static_cast<std::byte>(NearestCode(x[j] * inverse) << 4 |
                                          NearestCode(x[j + 1] * inverse));
    }
  }
}

void DecodeNf4(const Nf4Tensor& tensor, int64_t first, std::span<float> out) {
  Decode(tensor, first, out);
}

void DecodeNf4(const Nf4Tensor& tensor, int64_t first, std::span<uint16_t> out) {
  Decode(tensor, first, out);
}

bool HasBitsandbytesState(const SafetensorsFile& file, const std::string& name) {
  return file.FindTensor(absl::StrCat(name, ToAbsl(kNf4State))) != nullptr ||
         file.FindTensor(absl::StrCat(name, ToAbsl(kFp4State))) != nullptr;
}

absl::StatusOr<Nf4Tensor> ReadBitsandbytesNf4(const SafetensorsFile& file, const std::string& name,
                                              const std::vector<int64_t>& shape) {
  if (file.FindTensor(absl::StrCat(name, ToAbsl(kFp4State))) != nullptr) {
    return Error(absl::StatusCode::kUnimplemented, "MODEL_UNSUPPORTED",
                 absl::StrCat(file.path(), ": tensor '", name,
                              "' is FP4; of bitsandbytes' four-bit types NF4 is supported"));
  }
  ASSIGN_OR_RETURN(const State state, ReadState(file, name));
  if (state.shape != shape) return InvalidNf4(file, name, "has another shape than the model needs");
  Nf4Tensor tensor{.values = 1, .block = state.block};
  for (const int64_t size : shape) tensor.values *= size;
  ASSIGN_OR_RETURN(const SafetensorsTensor* codes,
                   Require(file, name, Dtype::kU8, (tensor.values + 1) / 2));
  tensor.codes = codes->data;
  ASSIGN_OR_RETURN(const std::vector<float> map,
                   ReadFloats(file, absl::StrCat(name, ".quant_map"), 16));
  std::copy(map.begin(), map.end(), tensor.map.begin());
  const int64_t blocks = (tensor.values + tensor.block - 1) / tensor.block;
  ASSIGN_OR_RETURN(std::vector<float> absmax, ReadAbsmax(file, name, state, blocks));
  tensor.absmax = std::make_shared<const std::vector<float>>(std::move(absmax));
  return tensor;
}

}  // namespace crossover::llm
