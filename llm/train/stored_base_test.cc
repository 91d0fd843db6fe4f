// Training on a base whose weights stay quantised gives the bytes of training on its dense copy.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "common/status/error.h"
#include "llm/formats/nf4.h"
#include "llm/formats/safetensors.h"
#include "llm/formats/testing_random_model.h"
#include "llm/model/weight_source.h"
#include "llm/train/trainer.h"

namespace crossover::llm {
namespace {

namespace fs = std::filesystem;

// Rows of whole K blocks; heads whose rows GGUF interleaves.
ModelConfig Config(bool tied = false) {
  ModelConfig config;
  config.hidden_size = 256;
  config.intermediate_size = 512;
  config.layers = 2;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 64;
  config.vocab_size = 96;
  config.context_length = 128;
  config.tied_embeddings = tied;
  return config;
}

class StoredBaseTest : public testing::Test {
 protected:
  StoredBaseTest()
      : folder_(fs::temp_directory_path() / ("crossover_stored_" + std::to_string(getpid()))) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~StoredBaseTest() override { fs::remove_all(folder_); }

  std::string Write(const std::string& name, const ModelConfig& config, TensorType type) {
    const fs::path path = folder_ / name;
    EXPECT_TRUE(WriteRandomModel(path, config, [&](const WeightSpec&) { return type; }, 3).ok());
    return path.string();
  }

  static std::shared_ptr<const BaseModel> Load(const std::string& path, WeightStorage weights,
                                               ComputeType type) {
    auto base = BaseModel::Load(path, {.threads = 2, .compute_type = type, .weights = weights});
    EXPECT_TRUE(base.ok()) << base.status();
    return *std::move(base);
  }

  // Bytes of the adapter after two steps, and the loss of each.
  struct Trained {
    std::string adapter;
    std::vector<double> losses;
    bool operator==(const Trained&) const = default;
  };
  Trained Train(const std::shared_ptr<const BaseModel>& base, bool dora = false) {
    std::vector<TrainRow> rows;
    for (int r = 0; r < 4; ++r) {
      TrainRow row{.id = "row-" + std::to_string(r)};
      for (int t = 0; t < 40; ++t) row.ids.push_back((t < 20 ? t : t * (r + 3)) % 96);
      row.token_weights.assign(row.ids.size(), 1.0f);
      rows.push_back(std::move(row));
    }
    TrainConfig config{.rank = 4, .learning_rate = 0.01, .max_steps = 2, .batch_rows = 4};
    config.dora = dora;
    auto trainer = Trainer::Create(base, config, rows, {});
    EXPECT_TRUE(trainer.ok()) << trainer.status();
    Trained trained;
    const auto outcome = (*trainer)->Run([&](const StepReport& report) {
      trained.losses.push_back(report.loss);
      return StepDecision::kContinue;
    });
    EXPECT_TRUE(outcome.ok()) << outcome.status();
    const fs::path adapter = folder_ / ("adapter-" + std::to_string(adapters_++));
    EXPECT_TRUE((*trainer)->ExportAdapter(adapter.string(), "base").ok());
    std::ostringstream out;
    out << std::ifstream(adapter / "adapter_model.safetensors", std::ios::binary).rdbuf();
    trained.adapter = out.str();
    return trained;
  }

  // A GGUF file with the weights of `from` after a round trip through NF4, as plain numbers.
  std::string WriteNf4Numbers(const std::string& from, const ModelConfig& config);
  // The same weights as transformers and bitsandbytes would save them.
  std::string WriteBitsandbytes(const std::string& from, const ModelConfig& config);

  fs::path folder_;
  int adapters_ = 0;
};

TEST_F(StoredBaseTest, EveryTypeTrainsAsItsDenseCopy) {
  for (const TensorType type :
       {TensorType::kQ4_0, TensorType::kQ4_1, TensorType::kQ5_0, TensorType::kQ5_1,
        TensorType::kQ8_0, TensorType::kQ4_K, TensorType::kQ5_K, TensorType::kQ6_K,
        TensorType::kF16, TensorType::kBf16}) {
    const std::string path = Write("model.gguf", Config(type == TensorType::kQ8_0), type);
    for (const ComputeType compute : {ComputeType::kFp32, ComputeType::kBf16}) {
      const auto dense = Load(path, WeightStorage::kDense, compute);
      const auto stored = Load(path, WeightStorage::kStored, compute);
      EXPECT_EQ(stored->parameters(), dense->parameters());
      if (type != TensorType::kF16 && type != TensorType::kBf16) {
        EXPECT_LT(stored->bytes(), dense->bytes() * 5 / 8);
      }
      const Trained want = Train(dense);
      EXPECT_LT(want.losses[1], want.losses[0]);
      EXPECT_EQ(Train(stored), want) << NameOf(type);
      if (type == TensorType::kQ4_K) {  // Its magnitudes begin as norms of the weights.
        EXPECT_EQ(Train(stored, /*dora=*/true), Train(dense, /*dora=*/true));
      }
    }
  }
}

std::string StoredBaseTest::WriteNf4Numbers(const std::string& from, const ModelConfig& config) {
  const auto source = OpenWeights(from);
  EXPECT_TRUE(source.ok()) << source.status();
  const fs::path path = folder_ / "nf4-numbers.gguf";
  // Written in the file's own order of rows: a block of NF4 never crosses a row of 256 values here.
  const auto file = GgufFile::Open(from);
  const auto writer = GgufWriter::Create(path);
  for (const GgufMetadata& entry : (*file)->metadata())
    EXPECT_TRUE((*writer)->AddEncoded(entry).ok());
  const std::vector<WeightSpec> weights = WeightsOf(config);
  for (const WeightSpec& weight : weights)
    EXPECT_TRUE((*writer)->AddTensor(weight.gguf_name, TensorType::kF32, weight.shape).ok());
  for (const WeightSpec& weight : weights) {
    const auto rows = (*source)->Rows(weight.gguf_name, 0);
    const bool nf4 = weight.shape.size() == 2 && weight.gguf_name.starts_with("blk.");
    std::vector<float> numbers(rows->rows() * rows->columns());
    (nf4 ? ToNf4(*rows) : *rows).Decode(0, rows->rows(), numbers.data());
    EXPECT_TRUE((*writer)->AppendData(std::as_bytes(std::span(numbers))).ok());
  }
  EXPECT_TRUE((*writer)->Finish().ok());
  return path.string();
}

std::string StoredBaseTest::WriteBitsandbytes(const std::string& from, const ModelConfig& config) {
  const fs::path path = folder_ / "bitsandbytes";
  fs::create_directories(path);
  std::ofstream(path / "config.json") << R"({"architectures": ["LlamaForCausalLM"],
    "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 64, "vocab_size": 96, "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": false})";
  const auto source = OpenWeights(from);
  std::map<std::string, std::vector<std::byte>> memory;
  std::vector<SafetensorsTensor> tensors;
  const auto add = [&](const std::string& name, Dtype dtype, std::vector<int64_t> shape,
                       const void* data, size_t bytes) {
    std::vector<std::byte>& copy = memory[name];
    copy.resize(bytes);
    std::memcpy(copy.data(), data, bytes);
    tensors.push_back({name, dtype, std::move(shape), copy});
  };
  for (const WeightSpec& weight : WeightsOf(config)) {
    // In Hugging Face's order of rows.
    const auto rows = (*source)->Rows(weight.gguf_name, weight.permuted_heads);
    std::vector<float> numbers(rows->rows() * rows->columns());
    rows->Decode(0, rows->rows(), numbers.data());
    if (weight.shape.size() == 1 || !weight.gguf_name.starts_with("blk.")) {
      add(weight.hf_name, Dtype::kF32, weight.shape, numbers.data(), numbers.size() * 4);
      continue;
    }
    const int64_t blocks = static_cast<int64_t>(numbers.size()) / kNf4Block;
    std::vector<std::byte> codes(numbers.size() / 2);
    std::vector<float> absmax(blocks);
    EncodeNf4(numbers, codes, absmax);
    const std::string state =
        R"({"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [)" +
        std::to_string(weight.shape[0]) + ", " + std::to_string(weight.shape[1]) + "]}";
    add(weight.hf_name, Dtype::kU8, {static_cast<int64_t>(codes.size()), 1}, codes.data(),
        codes.size());
    add(weight.hf_name + ".absmax", Dtype::kF32, {blocks}, absmax.data(), blocks * 4);
    add(weight.hf_name + ".quant_map", Dtype::kF32, {16}, kNf4Values.data(), 64);
    add(weight.hf_name + ".quant_state.bitsandbytes__nf4", Dtype::kU8,
        {static_cast<int64_t>(state.size())}, state.data(), state.size());
  }
  EXPECT_TRUE(WriteSafetensors(path / "model.safetensors", tensors, {{"format", "pt"}}).ok());
  return path.string();
}

TEST_F(StoredBaseTest, Nf4TrainsAsItsDenseCopyAndAsBitsandbytesFiles) {
  const std::string path = Write("model.gguf", Config(), TensorType::kBf16);
  const std::string numbers = WriteNf4Numbers(path, Config());
  const std::string folder = WriteBitsandbytes(path, Config());
  for (const ComputeType compute : {ComputeType::kFp32, ComputeType::kBf16}) {
    const Trained want = Train(Load(numbers, WeightStorage::kDense, compute));
    EXPECT_NE(Train(Load(path, WeightStorage::kDense, compute)), want);
    EXPECT_EQ(Train(Load(path, WeightStorage::kNf4, compute)), want);
    EXPECT_EQ(Train(Load(folder, WeightStorage::kStored, compute)), want);
    EXPECT_EQ(Train(Load(folder, WeightStorage::kDense, compute)), want);
  }
}

TEST_F(StoredBaseTest, AutoIsDenseWhereThereIsRoom) {
  const std::string path = Write("model.gguf", Config(), TensorType::kQ4_K);
  EXPECT_EQ(Load(path, WeightStorage::kAuto, ComputeType::kAuto)->execution().weights,
            WeightStorage::kDense);
}

TEST_F(StoredBaseTest, BrokenFoldersAreNamed) {
  const std::string folder =
      WriteBitsandbytes(Write("m.gguf", Config(), TensorType::kF32), Config());
  const auto load = [&] {
    return BaseModel::Load(folder, {.weights = WeightStorage::kStored}).status();
  };
  ASSERT_TRUE(load().ok()) << load();
  EXPECT_TRUE(HasReason(BaseModel::Load(folder_ / "nowhere", {}).status(), "FILE_MISSING"));
  std::ofstream(fs::path(folder) / "model.safetensors.index.json")
      << R"({"weight_map": {"a": "../m.safetensors"}})";
  EXPECT_NE(std::string(load().message()).find("'../m.safetensors'"), std::string::npos) << load();
  fs::remove(fs::path(folder) / "model.safetensors.index.json");
  std::ofstream(fs::path(folder) / "config.json") << R"({"architectures": ["LlamaForCausalLM"],
    "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 64, "vocab_size": 96, "tie_word_embeddings": false})";
  EXPECT_NE(std::string(load().message()).find("model.layers.2."), std::string::npos) << load();
}

}  // namespace
}  // namespace crossover::llm
