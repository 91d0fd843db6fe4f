#include "llm/formats/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>

#include "common/status/error.h"
#include "llm/formats/atomic_file.h"

namespace crossover::llm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string FileBytes(std::string_view header, size_t data) {
  const uint64_t length = header.size();
  std::string bytes(reinterpret_cast<const char*>(&length), 8);
  bytes.append(header);
  bytes.append(data, '\0');
  return bytes;
}

absl::Status ParseStatus(std::string_view header, size_t data) {
  const std::string bytes = FileBytes(header, data);
  return SafetensorsFile::Parse(std::as_bytes(std::span(bytes.data(), bytes.size())), "t.st")
      .status();
}

void ExpectInvalid(std::string_view header, size_t data, std::string_view part) {
  const absl::Status status = ParseStatus(header, data);
  EXPECT_TRUE(HasReason(status, "FORMAT_INVALID")) << header << ": " << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(std::string(part)));
  EXPECT_THAT(std::string(status.message()), HasSubstr("t.st"));
}

TEST(SafetensorsTest, WritesTheReferenceWritersBytes) {
  // What safetensors.numpy.save gives for {"b": f32[2], "a": f16[1], "c": f32 scalar} with metadata
  // {"format": "pt"}.
  const std::array<float, 2> b = {1, 2};
  const std::array<uint16_t, 1> a = {0x3c00};
  const std::array<float, 1> c = {3};
  const auto path = std::filesystem::path(::testing::TempDir()) /
                    (std::to_string(getpid()) + "reference.safetensors");
  ASSERT_TRUE(WriteSafetensors(path,
                               {{"b", Dtype::kF32, {2}, std::as_bytes(std::span(b))},
                                {"a", Dtype::kF16, {1}, std::as_bytes(std::span(a))},
                                {"c", Dtype::kF32, {}, std::as_bytes(std::span(c))}},
                               {{"format", "pt"}})
                  .ok());
  std::string header =
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
      R"("c":{"dtype":"F32","shape":[],"data_offsets":[8,12]},"a":{"dtype":"F16","shape":[1],"data_offsets":[12,14]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  std::string expected = FileBytes(header, 0);
  expected.append(reinterpret_cast<const char*>(b.data()), 8);
  expected.append(reinterpret_cast<const char*>(c.data()), 4);
  expected.append(reinterpret_cast<const char*>(a.data()), 2);
  EXPECT_EQ(ReadTextFile(path).value(), expected);

  const auto file = SafetensorsFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->metadata().at("format"), "pt");
  std::vector<float> values(2);
  ASSERT_TRUE(ToFloats(*(*file)->FindTensor("b"), values).ok());
  EXPECT_THAT(values, ElementsAre(1, 2));
  std::vector<float> half(1);
  ASSERT_TRUE(ToFloats(*(*file)->FindTensor("a"), half).ok());
  EXPECT_THAT(half, ElementsAre(1));
  EXPECT_EQ((*file)->FindTensor("d"), nullptr);
}

TEST(SafetensorsTest, AcceptsEmptyFilesAndEmptyTensors) {
  EXPECT_TRUE(ParseStatus("{}", 0).ok());
  EXPECT_TRUE(ParseStatus(R"({"a":{"dtype":"F32","shape":[0,4],"data_offsets":[0,0]}}  )", 0).ok());
}

TEST(SafetensorsTest, RefusesWhatTheReferenceRefuses) {
  ExpectInvalid("[]", 0, "not a JSON object");
  ExpectInvalid("{", 0, "not valid JSON");
  ExpectInvalid(R"({"a":1})", 0, "'a'");
  ExpectInvalid(R"({"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}})", 4, "F33");
  ExpectInvalid(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, "shape and dtype");
  ExpectInvalid(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4, "'a'");
  ExpectInvalid(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, "end at 0");
  ExpectInvalid(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 3, "truncated");
  ExpectInvalid(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 9, "5 bytes follow");
  ExpectInvalid(
      R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
      4, "end at 4");
  ExpectInvalid(
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
      1, "occurs twice");
  ExpectInvalid(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", 0,
                "'a'");
  ExpectInvalid(R"({"a":{"dtype":"F4","shape":[1],"data_offsets":[0,1]}})", 1, "'a'");
  ExpectInvalid(R"({"__metadata__":{"k":1}})", 0, "'k'");
}

TEST(SafetensorsTest, RefusesHeadersThatDoNotFit) {
  const std::string huge("\xff\xff\xff\xff\xff\xff\xff\x7f{}", 10);
  EXPECT_FALSE(
      SafetensorsFile::Parse(std::as_bytes(std::span(huge.data(), huge.size())), "t").ok());
  EXPECT_FALSE(SafetensorsFile::Parse({}, "t").ok());
  EXPECT_TRUE(HasReason(SafetensorsFile::Open("/nonexistent").status(), "FILE_MISSING"));
}

TEST(SafetensorsTest, WriterRefusesDuplicatesAndWrongSizes) {
  const std::array<float, 2> data = {1, 2};
  const auto bytes = std::as_bytes(std::span(data));
  const auto path =
      std::filesystem::path(::testing::TempDir()) / (std::to_string(getpid()) + "bad.safetensors");
  EXPECT_FALSE(WriteSafetensors(path, {{"a", Dtype::kF32, {3}, bytes}}, {}).ok());
  EXPECT_FALSE(
      WriteSafetensors(path, {{"a", Dtype::kF32, {2}, bytes}, {"a", Dtype::kF32, {2}, bytes}}, {})
          .ok());
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace crossover::llm
