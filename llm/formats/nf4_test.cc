#include "llm/formats/nf4.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>

#include "common/status/error.h"
#include "llm/formats/float_bits.h"

namespace crossover::llm {
namespace {

std::vector<float> Ramp(int64_t values) {
  std::vector<float> numbers(values);
  for (int64_t i = 0; i < values; ++i) {
    const int64_t block = i / 64;
    numbers[i] = static_cast<float>(std::sin(0.37 * static_cast<double>(i)) *
                                    static_cast<double>(1 + block));
  }
  return numbers;
}

Nf4Tensor Encoded(const std::vector<float>& numbers, std::vector<std::byte>& codes) {
  codes.resize(numbers.size() / 2);
  std::vector<float> absmax(numbers.size() / kNf4Block);
  EncodeNf4(numbers, codes, absmax);
  return {.values = static_cast<int64_t>(numbers.size()),
          .codes = codes,
          .absmax = std::make_shared<const std::vector<float>>(absmax)};
}

TEST(Nf4Test, KeepsItsOwnNumbersAndTheLargestOfABlock) {
  std::vector<float> numbers(64);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = 3.0f * kNf4Values[i % 16];
  std::vector<std::byte> codes;
  const Nf4Tensor tensor = Encoded(numbers, codes);
  EXPECT_EQ(static_cast<int>(codes[0]), 0x01);  // The first of a pair in the high half.
  EXPECT_EQ(static_cast<int>(codes[7]), 0xef);
  std::vector<float> decoded(64);
  DecodeNf4(tensor, 0, std::span<float>(decoded));
  EXPECT_EQ(decoded, numbers);
}

// bitsandbytes 0.49, quantize_4bit(Ramp(256), quant_type="nf4", blocksize=64) on a CPU.
TEST(Nf4Test, GivesTheCodesOfBitsandbytes) {
  const std::array<uint8_t, 128> want = {
      123, 239, 255, 237, 149, 33,  0,   1,   55,  190, 255, 254, 217, 82,  16,  0,   19,  123, 239,
      255, 237, 149, 33,  0,   1,   55,  190, 255, 254, 217, 82,  16,  0,   20,  123, 239, 255, 236,
      149, 33,  0,   1,   71,  206, 255, 254, 201, 82,  16,  0,   20,  140, 239, 255, 236, 149, 33,
      0,   1,   72,  206, 255, 254, 201, 82,  16,  0,   20,  140, 239, 255, 236, 148, 33,  0,   1,
      72,  206, 255, 254, 200, 66,  16,  0,   20,  140, 239, 255, 236, 132, 33,  0,   1,   72,  206,
      255, 254, 200, 66,  16,  0,   20,  140, 239, 255, 236, 132, 33,  0,   2,   72,  206, 255, 254,
      200, 66,  0,   0,   36,  140, 239, 255, 236, 132, 32,  0,   18,  72};
  std::vector<std::byte> codes;
  const Nf4Tensor tensor = Encoded(Ramp(256), codes);
  for (size_t i = 0; i < want.size(); ++i) EXPECT_EQ(static_cast<uint8_t>(codes[i]), want[i]) << i;
  EXPECT_FLOAT_EQ((*tensor.absmax)[3], 3.999990224838257f);
}

TEST(Nf4Test, TheErrorIsAtMostHalfTheWidestGap) {
  const std::vector<float> numbers = Ramp(640);
  std::vector<std::byte> codes;
  const Nf4Tensor tensor = Encoded(numbers, codes);
  std::vector<float> decoded(640);
  DecodeNf4(tensor, 0, std::span<float>(decoded));
  for (size_t i = 0; i < numbers.size(); ++i) {
    EXPECT_LE(std::fabs(decoded[i] - numbers[i]), 0.1520f * (*tensor.absmax)[i / 64]) << i;
  }
}

TEST(Nf4Test, AnyRangeDecodesAsTheWhole) {
  const std::vector<float> numbers = Ramp(256);
  std::vector<std::byte> codes;
  const Nf4Tensor tensor = Encoded(numbers, codes);
  std::vector<float> whole(256);
  DecodeNf4(tensor, 0, std::span<float>(whole));
  for (const auto& [first, count] :
       {std::pair{0, 1}, {1, 1}, {1, 2}, {63, 2}, {5, 120}, {64, 64}, {127, 129}, {10, 0}}) {
    std::vector<float> part(count);
    DecodeNf4(tensor, first, std::span<float>(part));
    EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + first)) << first;
    std::vector<uint16_t> bits(count);
    DecodeNf4(tensor, first, std::span<uint16_t>(bits));
    for (int i = 0; i < count; ++i) EXPECT_EQ(bits[i], FloatToBf16(whole[first + i]));
  }
}

TEST(Nf4Test, ABlockOfZerosStaysZero) {
  const std::vector<float> numbers(64, 0.0f);
  std::vector<std::byte> codes;
  const Nf4Tensor tensor = Encoded(numbers, codes);
  std::vector<float> decoded(64, 1.0f);
  DecodeNf4(tensor, 0, std::span<float>(decoded));
  EXPECT_EQ(decoded, numbers);
}

// A file with one tensor [2, 64] as bitsandbytes writes it, magnitudes quantised, too.
class BitsandbytesFile {
 public:
  explicit BitsandbytesFile(std::string state) : state_(std::move(state)) {
    for (size_t i = 0; i < codes_.size(); ++i) codes_[i] = static_cast<std::byte>(i * 5);
    for (size_t i = 0; i < map_.size(); ++i) map_[i] = static_cast<float>(i) / 255;
    Add("w", Dtype::kU8, {64, 1}, codes_);
    Add("w.absmax", Dtype::kU8, {2}, absmax_);
    Add("w.quant_map", Dtype::kF32, {16}, kNf4Values);
    Add("w.nested_absmax", Dtype::kF32, {1}, nested_);
    Add("w.nested_quant_map", Dtype::kF32, {256}, map_);
    Add("w.quant_state.bitsandbytes__nf4", Dtype::kU8, {static_cast<int64_t>(state_.size())},
        state_);
  }
  ~BitsandbytesFile() { std::filesystem::remove(path_); }

  void Drop(const std::string& name) {
    std::erase_if(tensors_, [&](const SafetensorsTensor& t) { return t.name == name; });
  }
  absl::StatusOr<Nf4Tensor> Read(const std::vector<int64_t>& shape = {2, 64}) {
    EXPECT_TRUE(WriteSafetensors(path_, tensors_, {}).ok());
    file_ = *SafetensorsFile::Open(path_);
    EXPECT_TRUE(HasBitsandbytesState(*file_, "w"));
    return ReadBitsandbytesNf4(*file_, "w", shape);
  }

 private:
  template <typename Values>
  void Add(const std::string& name, Dtype dtype, std::vector<int64_t> shape, const Values& values) {
    tensors_.push_back({name, dtype, std::move(shape), std::as_bytes(std::span(values))});
  }

  std::string state_;
  std::array<std::byte, 64> codes_;
  std::array<uint8_t, 2> absmax_ = {10, 255};
  std::array<float, 1> nested_ = {0.5f};
  std::array<float, 256> map_;
  std::vector<SafetensorsTensor> tensors_;
  std::shared_ptr<const SafetensorsFile> file_;
  std::filesystem::path path_ = std::filesystem::temp_directory_path() /
                                ("crossover_nf4_" + std::to_string(getpid()) + ".safetensors");
};

constexpr char kState[] =
    R"({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [2, 64],
        "nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.25})";

TEST(Nf4Test, ReadsBitsandbytesWithQuantisedMagnitudes) {
  BitsandbytesFile file(kState);
  const absl::StatusOr<Nf4Tensor> tensor = file.Read();
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_EQ((*tensor->absmax)[0], 10.0f / 255 * 0.5f + 0.25f);
  EXPECT_EQ((*tensor->absmax)[1], 0.75f);
  std::vector<float> numbers(4);
  DecodeNf4(*tensor, 64, std::span<float>(numbers));  // Codes 32 * 5 = 0xa0 and 0xa5.
  EXPECT_EQ(numbers, (std::vector<float>{kNf4Values[10] * 0.75f, kNf4Values[0] * 0.75f,
                                         kNf4Values[10] * 0.75f, kNf4Values[5] * 0.75f}));
}

TEST(Nf4Test, BrokenStatesAreNamed) {
  const auto message = [](BitsandbytesFile& file, const std::vector<int64_t>& shape = {2, 64}) {
    const absl::Status status = file.Read(shape).status();
    EXPECT_TRUE(HasReason(status, "FORMAT_INVALID")) << status;
    return std::string(status.message());
  };
  for (const char* name : {"w.absmax", "w.quant_map", "w.nested_absmax", "w.nested_quant_map"}) {
    BitsandbytesFile file(kState);
    file.Drop(name);
    EXPECT_NE(message(file).find("'" + std::string(name) + "' is missing"), std::string::npos);
  }
  BitsandbytesFile other_shape(kState);
  EXPECT_NE(message(other_shape, {4, 32}).find("shape"), std::string::npos);
  for (const char* state : {"[]", "{", R"({"quant_type": "fp4"})", R"({"quant_type": "nf4"})",
                            R"({"quant_type": "nf4", "blocksize": 0, "shape": [2, 64]})",
                            R"({"quant_type": "nf4", "blocksize": 48, "shape": [2, 64]})",
                            R"({"quant_type": "nf4", "blocksize": 64, "shape": "x"})"}) {
    BitsandbytesFile file(state);
    EXPECT_NE(message(file).find("quant_state"), std::string::npos) << state;
  }
}

}  // namespace
}  // namespace crossover::llm
